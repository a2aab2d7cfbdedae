// What a file's own record says of the blob in it. A blob is immutable, so inode, length and time of
// the last write tell one from another under the same key.

import type { BigIntStats } from "node:fs";
import type { BlobHead } from "../../core/ports/storage-driver.ts";

export function headOf(key: string, stat: BigIntStats): BlobHead {
  const etag = `${stat.ino.toString(36)}-${stat.size.toString(36)}-${stat.mtimeNs.toString(36)}`;
  const length = Number(stat.size);
  return { key, length, etag, modifiedAt: stat.mtime, digests: {}, metadata: {} };
}
