// Lists keys in the byte order of the whole key, though a folder's names come in no order and the
// blob "a-b" stands before the folder "a/". Folders that cannot hold a wanted key are not opened, and
// of a folder of any size at most twice `batchMax` names are in memory.

import type { Dirent } from "node:fs";
import { during, errnoOf } from "./errors.ts";
import type { Files } from "./files.ts";
import { type ByteString, type Entry, entryOfName, folderOfBytes } from "./keys.ts";

const batchMax = 10_000;

export interface ListedName {
  readonly keyBytes: ByteString;
  /** The file of the blob. */
  readonly path: string;
}

export interface Listing {
  readonly files: Files;
  /** Ends in "/". */
  readonly root: string;
  readonly prefix: ByteString;
  /** Only keys greater than this. */
  readonly after: ByteString;
  readonly signal: AbortSignal;
}

/** Names of blobs; one that is deleted meanwhile may still be among them. */
export async function* listNames(listing: Listing): AsyncGenerator<ListedName> {
  const { prefix } = listing;
  const segments = prefix.slice(0, prefix.lastIndexOf("/") + 1);
  const start = listing.root + folderOfBytes(segments);
  yield* walk(listing, start, segments);
}

interface Found {
  readonly entry: Entry;
  readonly name: string;
}

async function* walk(
  listing: Listing,
  folder: string,
  base: ByteString,
): AsyncGenerator<ListedName> {
  let floor: Found | undefined;
  for (;;) {
    const { found, more } = await scan(listing, folder, base, floor);
    for (const item of found) {
      const keyBytes = base + item.entry.bytes;
      if (item.entry.kind === "blob") yield { keyBytes, path: folder + item.name };
      else yield* walk(listing, `${folder}${item.name}/`, keyBytes);
      floor = item;
    }
    if (!more) return;
  }
}

/** The first wanted entries of a folder after `floor`, in order. A missing folder has none. */
async function scan(
  { files, prefix, after, signal }: Listing,
  folder: string,
  base: ByteString,
  floor: Found | undefined,
): Promise<{ readonly found: readonly Found[]; readonly more: boolean }> {
  const wanted = ({ kind, bytes }: Entry): boolean => {
    const key = base + bytes;
    if (kind === "blob") return key > after && key.startsWith(prefix);
    // All keys below start with `key`, so they stand on one side of `after` unless it does too.
    if (key < after && !after.startsWith(key)) return false;
    return key.startsWith(prefix) || prefix.startsWith(key);
  };
  const found: Found[] = [];
  let more = false;
  try {
    for await (const dirent of await files.openFolder(folder)) {
      signal.throwIfAborted();
      const entry = await entryOf(files, folder, dirent);
      if (entry === undefined || !wanted(entry)) continue;
      const item = { entry, name: dirent.name };
      if (floor !== undefined && compare(item, floor) <= 0) continue;
      found.push(item);
      if (found.length < 2 * batchMax) continue;
      found.sort(compare).length = batchMax;
      more = true;
    }
  } catch (error) {
    const errno = errnoOf(error);
    if (errno !== "ENOENT" && errno !== "ENOTDIR") await during("list", Promise.reject(error));
  }
  found.sort(compare);
  if (found.length > batchMax) {
    found.length = batchMax;
    more = true;
  }
  return { found, more };
}

async function entryOf(files: Files, folder: string, dirent: Dirent): Promise<Entry | undefined> {
  if (dirent.isFile()) return entryOfName(dirent.name, false);
  if (dirent.isDirectory()) return entryOfName(dirent.name, true);
  if (dirent.isSymbolicLink() || dirent.isFIFO() || dirent.isSocket()) return undefined;
  // Some file systems do not tell the type with the name.
  const stat = await files.stat(folder + dirent.name).catch(() => undefined);
  if (stat === undefined || !(stat.isFile() || stat.isDirectory())) return undefined;
  return entryOfName(dirent.name, stat.isDirectory());
}

/** Folders carry their "/", so this is the order of the keys below them as well. */
function compare(left: Found, right: Found): number {
  const [a, b] = [left.entry.bytes, right.entry.bytes];
  return a < b ? -1 : a > b ? 1 : 0;
}
