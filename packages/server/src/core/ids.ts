/** Names that we make: unguessable, and in order of time so that a scan can begin at a moment. */
import { randomBytes, randomUUID } from "node:crypto";

/** A UUID version 7 (RFC 9562 §5.7) as 32 hex digits: 48 bits of milliseconds, 74 random bits. */
export function newVersion(now: Date): string {
  // Of a random UUID (version 4) all but the first 48 bits and the version: Node keeps random bytes
  // for these ahead, which is cheaper than asking for 16 bytes each time.
  const random = randomUUID();
  const ms = now.getTime().toString(16).padStart(12, "0");
  return `${ms}7${random.slice(15, 18)}${random.slice(19, 23)}${random.slice(24)}`;
}

/** When a version was made; `undefined` for what is none. */
export function versionMadeAt(text: string): Date | undefined {
  if (!/^[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}$/.test(text)) return undefined;
  return new Date(Number.parseInt(text.slice(0, 12), 16));
}

/**
 * The key of a new blob: `b/<installation>/YYYYMMDD/HHMM/<version>`. The installation's own folder
 * keeps two installations that were given one place from taking each other's blobs for rubbish. A
 * folder for each minute keeps folders small, lets the syncs of concurrent uploads share one folder,
 * and lets the sweeper look only at what is newer than its last look.
 */
export function newBlobKey(installation: string, now: Date, version: string): string {
  return `${blobKeyFolder(installation, now)}/${version}`;
}

/** A name that no other installation has: 64 random bits in hex. Made once, kept in the store. */
export function newInstallation(): string {
  return randomBytes(8).toString("hex");
}

/** What the keys of all blobs of an installation begin with. */
export function blobKeyPrefix(installation: string): string {
  return `b/${installation}/`;
}

/** The version that the blob was made for. */
export function versionOfBlobKey(blobKey: string): string {
  return blobKey.slice(blobKey.lastIndexOf("/") + 1);
}

/** Every blob that the installation made at or after this moment sorts after it. */
export function blobKeyFolder(installation: string, at: Date): string {
  const iso = at.toISOString();
  const day = `${iso.slice(0, 4)}${iso.slice(5, 7)}${iso.slice(8, 10)}`;
  return `${blobKeyPrefix(installation)}${day}/${iso.slice(11, 13)}${iso.slice(14, 16)}`;
}

/**
 * The entity tag of bytes whose MD5 was not asked for. The dash tells S3 clients that it is no MD5;
 * being made from the version it also changes when only the content type or metadata do.
 */
export function etagOfVersion(version: string): string {
  return `${version}-1`;
}
