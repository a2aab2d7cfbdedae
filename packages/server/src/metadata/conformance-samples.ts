/** Records for the conformance suite: valid ones, and keys that have broken other stores. */
import type { TestContext } from "node:test";
import type { ErrorCode } from "../core/errors.ts";
import { isOperationalError } from "../core/errors.ts";
import type {
  AccessKeyRecord,
  BlobRecord,
  BucketRecord,
  MetadataStore,
  NewObject,
  ObjectRecord,
  StorageRecord,
} from "../core/ports/metadata-store.ts";

export type OpenStore = (t: TestContext) => Promise<MetadataStore>;

export const garbageDueAt = new Date("2026-03-01T00:00:00.000Z");
export const createdAt = new Date("2026-02-03T04:05:06.789Z");

export function bucket(name: string, changes: Partial<BucketRecord> = {}): BucketRecord {
  return {
    name,
    visibility: "private",
    maxObjectBytes: null,
    contentTypes: null,
    uploadExpiryMs: 86_400_000,
    quotaBytes: null,
    placement: "local",
    createdAt,
    ...changes,
  };
}

export function object(key: string, changes: Partial<NewObject> = {}): NewObject {
  const version = changes.version ?? `version-of-${key.length}`;
  return {
    bucket: "b",
    key,
    version,
    etag: `${version}-1`,
    contentType: "text/plain",
    userMetadata: {},
    createdAt,
    ...changes,
  };
}

export function blob(blobKey: string, changes: Partial<BlobRecord> = {}): BlobRecord {
  return {
    storageId: "local",
    blobKey,
    length: 5,
    digests: { crc64nvme: bytes(8, 1) },
    ...changes,
  };
}

export function accessKey(id: string, changes: Partial<AccessKeyRecord> = {}): AccessKeyRecord {
  return {
    id,
    name: `key ${id}`,
    sealedSecret: bytes(48, 7),
    policy: [{ buckets: ["photos-*"], prefixes: ["2026/"], actions: ["object:read"] }],
    createdAt,
    enabled: true,
    ...changes,
  };
}

export function storage(id: string, changes: Partial<StorageRecord> = {}): StorageRecord {
  return {
    id,
    driver: "posix",
    settings: { root: "/mnt/照片", nested: { on: true, count: 3 } },
    sealedSecrets: bytes(40, 5),
    state: "active",
    markerUuid: `marker of ${id}`,
    revision: 1,
    createdAt,
    changedAt: createdAt,
    ...changes,
  };
}

/** Commits an object for each key, some hundreds at a time. */
export async function putAll(store: MetadataStore, keys: readonly string[]): Promise<void> {
  for (let start = 0; start < keys.length; start += 500) {
    await Promise.all(keys.slice(start, start + 500).map((key) => put(store, key)));
  }
}

export function bytes(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (index * 31 + seed) & 0xff);
}

/** Commits an object with a blob of its own, named by `blobKey` or the key. */
export async function put(
  store: MetadataStore,
  key: string,
  { blobKey = `blob of ${key}`, ...changes }: Partial<NewObject> & { blobKey?: string } = {},
): Promise<ObjectRecord> {
  const { object: written } = await store.commitObject(object(key, changes), blob(blobKey), {
    garbageDueAt,
  });
  return written;
}

/** A store with the bucket `b`. */
export async function openWithBucket(open: OpenStore, t: TestContext): Promise<MetadataStore> {
  const store = await open(t);
  await store.createBucket(bucket("b"));
  return store;
}

/** For `assert.rejects`. */
export function withCode(code: ErrorCode): (error: unknown) => boolean {
  return (error) => {
    if (isOperationalError(error, code)) return true;
    throw new Error(`expected ${code}`, { cause: error });
  };
}

/** The blob keys waiting as garbage, whatever their due time. */
export async function garbage(store: MetadataStore): Promise<string[]> {
  const dueBefore = new Date("9999-01-01T00:00:00Z");
  const records = await store.listGarbage({ dueBefore, limit: 1000 });
  return records.map(({ blobKey }) => blobKey);
}

export function sortedByBytes(texts: readonly string[]): string[] {
  return [...texts].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}

/** No two are the same key, and their order by UTF-16 units differs from that by bytes. */
export const oddKeys: readonly string[] = [
  "a",
  "A",
  "b/c",
  "a//b",
  "/leading",
  "trailing/",
  " ",
  "two  spaces ",
  "it's",
  'say "hi"',
  "back\\slash",
  "semi;colon--comment/*",
  "100%",
  "under_score",
  "50%_",
  "new\nline",
  "carriage\r\nreturn",
  "tab\there",
  "\u0001\u001f\u007f",
  "null",
  "constructor",
  "__proto__",
  "toString",
  "hasOwnProperty",
  "照片/二〇二六.jpg",
  "ひらがな",
  "é-nfc".normalize("NFC"),
  "é-nfc".normalize("NFD"),
  "ß",
  "SS",
  "ı",
  "\u{1f600}",
  "\u{1f468}\u200d\u{1f469}\u200d\u{1f467}",
  "\uff5e",
  "\ud7ff",
  "\ue000",
  "\uffff",
  "\u{10000}",
  "\u{10ffff}",
  "\u{10ffff}\u{10ffff}",
  "\u202eright-to-left",
  "\ufeffbyte order mark",
  "0",
  "00",
  "1e3",
  "x".repeat(1024),
  "\u{1f600}".repeat(256),
];
