/** Where a downloaded key ends up below a folder. */
import { resolve, sep } from "node:path";
import { UsageError } from "./usage-error.ts";

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
