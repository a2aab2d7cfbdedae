/**
 * A download into a file: written beside it under a temporary name, verified, synced, renamed. The
 * final name never shows a part, and what is interrupted leaves nothing.
 */
import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { mkdir, open, rename, rm, stat } from "node:fs/promises";
import { dirname, join, resolve, sep } from "node:path";
import type { Download } from "@roma/sdk";
import { UsageError } from "./usage-error.ts";

// For an end that leaves no time to unwind: see `removeTemporaries`.
const temporaries = new Set<string>();

/** Writes the download to `path`, whose folder is made if need be. */
export async function writeDownload(download: Download, path: string): Promise<void> {
  const target = await stat(path).catch(() => undefined);
  if (target !== undefined && !target.isFile()) {
    if (target.isDirectory()) throw new UsageError(`${path} is a folder`);
    // A pipe or a device: there is nothing to rename over.
    return await writeTo(download, path, "w");
  }
  await mkdir(dirname(path), { recursive: true });
  const temporary = join(dirname(path), `.roma-${randomBytes(8).toString("hex")}.part`);
  temporaries.add(temporary);
  try {
    await writeTo(download, temporary, "wx");
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  } finally {
    temporaries.delete(temporary);
  }
}

async function writeTo(download: Download, path: string, flags: "w" | "wx"): Promise<void> {
  await using file = await open(path, flags);
  for await (const chunk of download.body) {
    for (let at = 0; at < chunk.length; ) {
      at += (await file.write(chunk, at)).bytesWritten;
    }
  }
  // The name must not outlive the bytes in a crash. A pipe cannot be synced, and has no name to lose.
  if (flags === "wx") await file.datasync();
}

/** Removes at once what downloads under way have written. */
export function removeTemporaries(): void {
  for (const path of temporaries) rmSync(path, { force: true });
}

/**
 * The local path for a key below `folder`. Throws when the key would leave the folder or has no
 * place in a file system.
 */
export function localPath(folder: string, key: string): string {
  const segments = key.split("/");
  const unusable = (segment: string) =>
    segment === "" ||
    segment === "." ||
    segment === ".." ||
    segment.includes("\0") ||
    (sep === "\\" && /[\\:*?"<>|]/.test(segment));
  if (segments.some(unusable)) {
    throw new UsageError("this key cannot be a local path; download it alone, with a PATH");
  }
  return resolve(folder, ...segments);
}
