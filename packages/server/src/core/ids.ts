/** Names that we make: unguessable, and in order of time so that a scan can begin at a moment. */
import { randomBytes } from "node:crypto";

/** A UUID version 7 (RFC 9562 §5.7) as 32 hex digits: 48 bits of milliseconds, 74 random bits. */
export function newVersion(now: Date): string {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(now.getTime(), 0, 6);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x70;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return bytes.toString("hex");
}

/**
 * The key of a new blob: `b/YYYYMMDD/HHMM/<version>`. A folder for each minute keeps folders
 * small, lets the syncs of concurrent uploads share one folder, and lets the sweeper look only at
 * what is newer than its last look.
 */
export function newBlobKey(now: Date, version: string): string {
  return `${blobKeyFolder(now)}/${version}`;
}

/** The version that the blob was made for. */
export function versionOfBlobKey(blobKey: string): string {
  return blobKey.slice(blobKey.lastIndexOf("/") + 1);
}

/** Every blob made at or after this moment sorts after it. */
export function blobKeyFolder(at: Date): string {
  const iso = at.toISOString();
  return `b/${iso.slice(0, 4)}${iso.slice(5, 7)}${iso.slice(8, 10)}/${iso.slice(11, 13)}${iso.slice(14, 16)}`;
}

/**
 * The entity tag of bytes whose MD5 was not asked for. The dash tells S3 clients that it is no MD5;
 * being made from the version it also changes when only the content type or metadata do.
 */
export function etagOfVersion(version: string): string {
  return `${version}-1`;
}
