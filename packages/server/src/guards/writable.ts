/**
 * Looks before the start at what the server will have to read and write: files that another user left, as after a start
 * as root, are all named at once, with what to do, before one of them fails somewhere in the middle.
 */
import { access, constants, stat } from "node:fs/promises";
import { OperationalError } from "../core/errors.ts";

export interface NeededFile {
  readonly path: string;
  /** What is not there is no problem: it is made, or another option takes its place. */
  readonly need: "read" | "write" | "folder";
}

const modes = {
  read: constants.R_OK,
  write: constants.R_OK | constants.W_OK,
  folder: constants.R_OK | constants.W_OK | constants.X_OK,
} as const;

/** Rejects with `unavailable` and a line for each file that this process may not use as it needs to. */
export async function assertUsable(files: readonly NeededFile[]): Promise<void> {
  const problems = (await Promise.all(files.map(problemOf))).filter((one) => one !== undefined);
  const [first] = problems;
  if (first === undefined) return;
  const user = process.getuid?.() ?? 0;
  const group = process.getgid?.() ?? 0;
  const lines = problems.map(({ text }) => `  ${text}`);
  const message =
    `this process runs as user ${user} and may not use what it needs:\n${lines.join("\n")}\n` +
    `give it to that user (chown -R ${user}:${group} ${first.path}), or start as its owner`;
  throw new OperationalError("unavailable", message, { retryable: false });
}

async function problemOf({ path, need }: NeededFile) {
  try {
    await access(path, modes[need]);
    return undefined;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    const verb = need === "read" ? "read" : "written";
    const why = code === "EROFS" ? "its file system is mounted read-only" : await ownerOf(path);
    return { path, text: `${path} cannot be ${verb}: ${why}` };
  }
}

async function ownerOf(path: string): Promise<string> {
  try {
    const { uid, gid, mode } = await stat(path);
    return `it belongs to user ${uid}, group ${gid}, mode ${(mode & 0o7777).toString(8)}`;
  } catch {
    return "a folder above it is closed to this user";
  }
}
