// On which machine were the figures taken? Without it no figure means anything.

import { execFileSync, spawnSync } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
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
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    if (statSync(path).size < cachedBytesMin) continue;
    // dd's way to say posix_fadvise(POSIX_FADV_DONTNEED) of a whole file.
    spawnSync("dd", [`if=${path}`, "iflag=nocache", "count=0", "status=none"]);
  }
}

/** Writes what the kernel still holds back, so that one server does not pay for the other's bytes. */
export function settleDisk(folder: string): void {
  spawnSync("sync", ["-f", folder]);
}
