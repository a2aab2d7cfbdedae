// The folders between the root and a blob: made when missing, synced before a put is acknowledged,
// removed when empty. A path through a symbolic link is never used.
//
// A name is durable once its folder was synced after the name appeared, and so is a folder's own name
// in its parent. The inode of each folder whose own name is durable is remembered, and when it was made;
// another one is new, whoever made it, and its parent is synced too. The number of an inode alone may
// be that of a folder which another process has removed meanwhile.

import { type BigIntStats, constants } from "node:fs";
import { dirname } from "node:path";
import { OperationalError } from "../../core/errors.ts";
import { errnoOf, ignore } from "./errors.ts";
import type { Files } from "./files.ts";
import { SharedRun } from "./shared-run.ts";

const folderMode = 0o750;
const knownMax = 65_536;
const openFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

export class Folders {
  readonly #root: string;
  readonly #files: Files;
  /** Which folder that was. */
  readonly #durable = new Map<string, string>();
  readonly #isShared: boolean;
  readonly #syncs = new Map<string, SharedRun<void>>();

  /**
   * The root's own path holds no symbolic link, and its name is taken to be durable. `isShared`: other processes
   * remove folders as well.
   */
  constructor(root: string, files: Files, { isShared = false } = {}) {
    this.#isShared = isShared;
    this.#root = root;
    this.#files = files;
  }

  /** False if the folder is missing; `unavailable` if the path to it leaves the root. */
  async exists(folder: string): Promise<boolean> {
    try {
      if ((await this.#files.realPath(folder)) === folder) return true;
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === "ENOENT" || errno === "ENOTDIR") return false;
      throw error;
    }
    throw new OperationalError("unavailable", "a symbolic link stands in the storage", {
      retryable: false,
    });
  }

  /**
   * Makes the folder and those above it, but never the root: that would hide a lost mount. A
   * concurrent delete may remove them meanwhile; then it rejects with ENOENT.
   */
  async make(folder: string): Promise<void> {
    if (folder === this.#root) return;
    const parent = dirname(folder);
    if (!(await this.exists(parent))) await this.make(parent);
    try {
      await this.#files.makeFolder(folder, folderMode);
    } catch (error) {
      if (errnoOf(error) !== "EEXIST") throw error;
    }
  }

  /** Every name that was in the folder when this was called is durable when it resolves. */
  async sync(folder: string): Promise<void> {
    let run = this.#syncs.get(folder);
    if (run === undefined) {
      run = new SharedRun(() => this.#syncNow(folder));
      this.#syncs.set(folder, run);
    }
    try {
      await run.request();
    } finally {
      if (run.idle && this.#syncs.get(folder) === run) this.#syncs.delete(folder);
    }
  }

  /** Removes the folder and those above it while they are empty; answers the first that stays. */
  async removeEmpty(folder: string): Promise<string> {
    let current = folder;
    while (current !== this.#root) {
      try {
        await this.#files.removeFolder(current);
      } catch (error) {
        if (errnoOf(error) !== "ENOENT") return current;
      }
      this.#durable.delete(current);
      current = dirname(current);
    }
    return current;
  }

  /** After a remount, nothing that was known of inodes holds. */
  forget(): void {
    this.#durable.clear();
  }

  async #syncNow(folder: string): Promise<void> {
    const found = await this.#syncOpen(folder);
    if (found === undefined || folder === this.#root) return;
    const { ino, birthtimeNs } = found;
    const identity = `${ino} ${birthtimeNs}`;
    if (this.#durable.get(folder) === identity) return;
    await this.sync(dirname(folder));
    // Some file systems do not tell when it was made.
    if (this.#isShared && birthtimeNs === 0n) return;
    this.#durable.set(folder, identity);
    if (this.#durable.size > knownMax) {
      for (const [oldest] of this.#durable) {
        this.#durable.delete(oldest);
        break;
      }
    }
  }

  /** Undefined if the folder is gone: then so are all names in it, by somebody's delete. */
  async #syncOpen(folder: string): Promise<BigIntStats | undefined> {
    let fd: number;
    try {
      fd = await this.#files.open(folder, openFlags);
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw error;
    }
    try {
      const [stat] = await Promise.all([this.#files.statOpen(fd), this.#files.sync(fd)]);
      return stat;
    } finally {
      await this.#files.close(fd).catch(ignore);
    }
  }
}
