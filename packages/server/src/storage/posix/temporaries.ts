// The temporary files of running puts, in `<root>/.roma/tmp/`: on the same mount as the blobs, in a
// folder that no list shows, under random names. What a crash left there can be listed and removed.

import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { join } from "node:path";
import { OperationalError } from "../../core/errors.ts";
import type { LeftOver } from "../../core/ports/storage-driver.ts";
import { during, errnoOf } from "./errors.ts";
import type { Files } from "./files.ts";

const createFlags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
const fileMode = 0o640;
const token = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export interface Temporary {
  readonly path: string;
  readonly fd: number;
  /** Ends the write: the file is removed unless it was renamed, and the descriptor closed. */
  release(options: { readonly published: boolean }): Promise<void>;
}

export class Temporaries {
  readonly #folder: string;
  readonly #files: Files;
  readonly #running = new Set<string>();

  /** The folder exists; it is never made here, where it would hide a lost mount. */
  constructor(folder: string, files: Files) {
    this.#folder = folder;
    this.#files = files;
  }

  async create(signal: AbortSignal): Promise<Temporary> {
    const name = randomUUID();
    const path = join(this.#folder, name);
    this.#running.add(name);
    let fd: number;
    try {
      fd = await this.#open(path, signal);
    } catch (error) {
      this.#running.delete(name);
      throw error;
    }
    return {
      path,
      fd,
      release: async ({ published }) => {
        try {
          // A failed close after the sync loses nothing; a failed unlink is left to the sweeper.
          await Promise.allSettled([
            this.#files.close(fd),
            published ? undefined : this.#files.unlink(path, "anyway"),
          ]);
        } finally {
          this.#running.delete(name);
        }
      },
    };
  }

  async *list(): AsyncIterable<LeftOver> {
    const folder = await during("list", this.#files.openFolder(this.#folder));
    for await (const entry of folder) {
      if (!entry.isFile() || !token.test(entry.name) || this.#running.has(entry.name)) continue;
      try {
        const stat = await this.#files.stat(join(this.#folder, entry.name));
        yield { token: entry.name, modifiedAt: stat.mtime, length: Number(stat.size) };
      } catch (error) {
        if (errnoOf(error) !== "ENOENT") throw error;
      }
    }
  }

  isRunning(name: string): boolean {
    return this.#running.has(name);
  }

  /** A running write's file is left alone. */
  async remove(name: string): Promise<void> {
    if (!token.test(name) || this.#running.has(name)) return;
    try {
      await this.#files.unlink(join(this.#folder, name));
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") await during("delete", Promise.reject(error));
    }
  }

  async #open(path: string, signal: AbortSignal): Promise<number> {
    try {
      return await this.#files.open(path, createFlags, fileMode, signal);
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") return await during("open", Promise.reject<number>(error));
      throw new OperationalError("unavailable", "the storage is not mounted", { cause: error });
    }
  }
}
