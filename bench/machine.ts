// On which machine were the figures taken? Without it no figure means anything.

import { execFileSync, spawnSync } from "node:child_process";
import { type Dirent, readdirSync, statSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";

const cachedBytesMin = 16 * 1024 ** 2;

/** Lines of Markdown. `folder` is where both servers keep their data. */
export function describeMachine(folder: string): readonly string[] {
  const [cpu] = cpus();
  const [source = "?", type = "?", options = "?"] = execFileSync(
    "findmnt",
    ["-n", "-o", "SOURCE,FSTYPE,OPTIONS", "-T", folder],
    { encoding: "utf8" },
  )
    .trim()
    .split(/\s+/);
  // nginx says its version on the error stream.
  const nginx = spawnSync("nginx", ["-v"], { encoding: "utf8" }).stderr.trim().split("/")[1] ?? "?";
  const gibibytes = Math.round(totalmem() / 1024 ** 3);
  return [
    `- ${cpus().length} cores (${cpu?.model.trim() ?? "unknown"}), ${gibibytes} GiB of memory`,
    `- disk ${source}, ${type} (${options}); Linux ${release()}`,
    `- Node ${process.version}, nginx ${nginx}`,
  ];
}

/**
 * Takes the large files below the folder out of the page cache: else the server that replaces a file
 * would write into warm memory that the other, which keeps the old bytes for a while, has not got.
 */
export function forgetCached(folder: string): void {
  for (const path of largeFiles(folder, cachedBytesMin)) {
    // dd's way to say posix_fadvise(POSIX_FADV_DONTNEED) of a whole file.
    spawnSync("dd", [`if=${path}`, "iflag=nocache", "count=0", "status=none"]);
  }
}

/** Paths of all files below the folder of at least so many bytes. Others may remove some meanwhile. */
export function largeFiles(folder: string, bytesMin: number): readonly string[] {
  const found: string[] = [];
  const folders = [folder];
  for (let next = folders.pop(); next !== undefined; next = folders.pop()) {
    for (const entry of entriesOf(next)) {
      const path = join(next, entry.name);
      if (entry.isDirectory()) folders.push(path);
      const stats = entry.isFile() ? statSync(path, { throwIfNoEntry: false }) : undefined;
      if (stats !== undefined && stats.size >= bytesMin) found.push(path);
    }
  }
  return found;
}

function entriesOf(folder: string): readonly Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}

/** Writes what the kernel still holds back, so that one server does not pay for the other's bytes. */
export function settleDisk(folder: string): void {
  spawnSync("sync", ["-f", folder]);
}
