/**
 * Unfinished uploads in a folder: a file for each, replaced as a whole. The folder is its owner's
 * alone; what has expired is removed when something new is remembered.
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { parseResumeRecord, type ResumeRecord, type ResumeStore } from "../upload/resume-store.ts";

const temporaryMsMax = 3_600_000;

/** Where the platform keeps such things of a user. */
export function defaultStateFolder(): string {
  const { XDG_STATE_HOME, LOCALAPPDATA } = process.env;
  const base =
    process.platform === "win32"
      ? (LOCALAPPDATA ?? join(homedir(), "AppData", "Local"))
      : (XDG_STATE_HOME ?? join(homedir(), ".local", "state"));
  return join(base, "roma", "uploads");
}

/** Keeps records in a folder that processes may share. */
export class FileResumeStore implements ResumeStore {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async get(key: string): Promise<ResumeRecord | undefined> {
    return await this.#read(this.#pathOf(key));
  }

  async set(key: string, record: ResumeRecord): Promise<void> {
    const path = this.#pathOf(key);
    const text = JSON.stringify(record);
    const temporary = `${path}.${randomBytes(6).toString("hex")}`;
    try {
      await writeFile(temporary, text, { mode: 0o600 });
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
      await mkdir(this.#folder, { recursive: true, mode: 0o700 });
      await writeFile(temporary, text, { mode: 0o600 });
    }
    await rename(temporary, path);
    if (Object.keys(record.crcs).length <= 1) await this.#removeExpired();
  }

  async delete(key: string): Promise<void> {
    await rm(this.#pathOf(key), { force: true });
  }

  #pathOf(key: string): string {
    return join(this.#folder, `${createHash("sha256").update(key).digest("hex")}.json`);
  }

  async #read(path: string): Promise<ResumeRecord | undefined> {
    try {
      return parseResumeRecord(JSON.parse(await readFile(path, "utf8")));
    } catch {
      // Not there, or torn: there is nothing to go on with.
      return undefined;
    }
  }

  async #removeExpired(): Promise<void> {
    for (const name of await readdir(this.#folder)) {
      const path = join(this.#folder, name);
      if (!name.endsWith(".json")) {
        // Of a process that was killed while it wrote.
        const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Date.now() }));
        if (/\.json\.[0-9a-f]{12}$/.test(name) && mtimeMs < Date.now() - temporaryMsMax) {
          await rm(path, { force: true });
        }
        continue;
      }
      const record = await this.#read(path);
      const expired = record === undefined || !(Date.parse(record.expiresAt) > Date.now());
      if (expired) await rm(path, { force: true });
    }
  }
}
