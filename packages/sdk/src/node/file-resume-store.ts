/**
 * Unfinished uploads in a folder: a file for each, replaced as a whole. The folder is its owner's
 * alone; what has expired, and the oldest beyond a thousand, is removed when something new is remembered.
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { parseResumeRecord, type ResumeRecord, type ResumeStore } from "../upload/resume-store.ts";

const temporaryMsMax = 3_600_000;
const recordsMax = 1000;

/** Where the platform keeps such things of a user. */
export function defaultStateFolder(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): string {
  const { XDG_STATE_HOME, LOCALAPPDATA } = environment;
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
    if (Object.keys(record.crcs).length <= 1) await this.#tidy();
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

  async #tidy(): Promise<void> {
    const kept: { readonly path: string; readonly at: number }[] = [];
    for (const name of await readdir(this.#folder)) {
      const path = join(this.#folder, name);
      const at = await writtenAt(path);
      const temporary = /\.json\.[0-9a-f]{12}$/.test(name);
      // Of a process that was killed while it wrote.
      if (temporary && at < Date.now() - temporaryMsMax) await rm(path, { force: true });
      if (!name.endsWith(".json")) continue;
      const record = await this.#read(path);
      const expired = record === undefined || !(Date.parse(record.expiresAt) > Date.now());
      if (expired) await rm(path, { force: true });
      else kept.push({ path, at });
    }
    const newest = kept.toSorted((a, b) => b.at - a.at);
    for (const { path } of newest.slice(recordsMax)) await rm(path, { force: true });
  }
}

/** Now, for what has just gone. */
async function writtenAt(path: string): Promise<number> {
  return await stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => Date.now(),
  );
}
