/** Records for the conformance suite: valid ones, and keys that have broken other stores. */
import type { TestContext } from "node:test";
import type { BlockSumsState } from "../core/digests/block-sums.ts";
import type { ErrorCode } from "../core/errors.ts";
import { isOperationalError } from "../core/errors.ts";
import { serverAuthor } from "../core/ports/author.ts";
import type {
  AccessKeyRecord,
  Author,
  BlobRecord,
  BucketRecord,
  MetadataStore,
  NewObject,
  ObjectRecord,
  StorageRecord,
  WriteConditions,
  WriteResult,
} from "../core/ports/metadata-store.ts";
import type {
  UploadPart,
  UploadPartBlob,
  UploadPlace,
  UploadRecord,
  UploadTail,
  UploadTaken,
} from "../core/ports/upload-store.ts";

export type OpenStore = (t: TestContext) => Promise<MetadataStore>;

/** Whoever changes something, where it does not matter who. */
export const author: Author = serverAuthor("test");

export const deletedAt = new Date("2026-02-28T12:00:00.000Z");
export const garbageDueAt = new Date("2026-03-01T00:00:00.000Z");
export const createdAt = new Date("2026-02-03T04:05:06.789Z");

/** Of the usage of a bucket that keeps nothing that it deletes, as these do. */
export const emptyTrash = { trashBytes: 0, trashObjects: 0 } as const;

export function bucket(name: string, changes: Partial<BucketRecord> = {}): BucketRecord {
  return {
    name,
    visibility: "private",
    maxObjectBytes: null,
    contentTypes: null,
    uploadExpiryMs: 86_400_000,
    quotaBytes: null,
    placement: "local",
    cors: null,
    trashMs: null,
    environment: null,
    deletesPerHour: null,
    retentionMs: null,
    bulkDeleteApprovals: 1,
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
    attributes: {},
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

/** Without bytes, place or writer. */
export function upload(id: string, changes: Partial<UploadRecord> = {}): UploadRecord {
  return {
    id,
    bucket: "b",
    key: changes.kind === "partial" ? null : `key of ${id}`,
    kind: "object",
    protocol: "tus",
    owner: "owner",
    phase: "receiving",
    offset: 0,
    length: null,
    contentType: null,
    userMetadata: {},
    attributes: {},
    digests: {},
    conditions: {},
    grant: null,
    place: null,
    checks: null,
    reservedBytes: 0,
    createdAt,
    expiresAt: at(1000),
    version: null,
    fence: 0,
    holder: null,
    leaseUntil: null,
    ...changes,
  };
}

/** An instant of the steady clock. */
export function at(seconds: number): Date {
  return new Date(seconds * 1000);
}

export function place(blobKey: string, changes: Partial<UploadPlace> = {}): UploadPlace {
  return { storageId: "local", blobKey, token: null, partBytes: null, ...changes };
}

export function part(number: number, changes: Partial<UploadPart> = {}): UploadPart {
  const offset = (number - 1) * 10;
  const digests = { md5: bytes(16, number) };
  return { kind: "part", number, offset, length: 10, etag: `etag ${number}`, digests, ...changes };
}

export function tail(number: number, changes: Partial<UploadTail> = {}): UploadTail {
  const digests = { crc64nvme: bytes(8, number) };
  const blobKey = `tail ${number}`;
  return { kind: "tail", number, offset: 0, length: 3, blobKey, digests, ...changes };
}

export function partBlob(number: number, changes: Partial<UploadPartBlob> = {}): UploadPartBlob {
  return {
    number,
    length: 10,
    storageId: "local",
    blobKey: `part ${number}`,
    digests: { crc64nvme: bytes(8, number), md5: bytes(16, number) },
    createdAt,
    ...changes,
  };
}

/** Of so many bytes, in blocks of 4. */
export function checks(length: number): BlockSumsState {
  return { blockBytes: 4, blocksMax: 1024, length, sums: bytes(Math.ceil(length / 4) * 8, length) };
}

/** The upload's newest writer, as `holder` until second 100. */
export async function take(
  store: MetadataStore,
  id: string,
  { holder = "here", now = at(0), until = at(100) } = {},
): Promise<UploadTaken> {
  const taken = await store.takeUpload(id, { holder, now, until });
  if (taken === undefined) throw new Error(`another writes upload ${id}`);
  return taken;
}

/** Takes the upload of `b` and completes it with a blob of so many bytes. */
export async function complete(
  store: MetadataStore,
  id: string,
  { length = 5, version = `version of ${id}`, ...options }: Partial<CompleteOptions> = {},
): Promise<WriteResult> {
  const { upload: taken } = await take(store, id);
  const made = object(taken.key ?? "", { version });
  const written = blob(taken.place?.blobKey ?? `blob of ${id}`, { length });
  const expiresAt = at(2000);
  return await store.completeUpload(taken, made, written, {
    author,
    garbageDueAt,
    expiresAt,
    ...options,
  });
}

type CompleteOptions = WriteConditions & { readonly length: number; readonly version: string };

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
    author,
    garbageDueAt,
  });
  return written;
}

/** A store with the bucket `b`, which has no trash unless `changes` say so. */
export async function openWithBucket(
  open: OpenStore,
  t: TestContext,
  changes: Partial<BucketRecord> = {},
): Promise<MetadataStore> {
  const store = await open(t);
  await store.createBucket(bucket("b", changes), { author });
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

/** Compares bytes as bytes, whichever class of view they are in. */
export function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (value instanceof Date) return value.toISOString();
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([name, inner]) => [name, plain(inner)] as const);
  return entries.sort(([a], [b]) => (a < b ? -1 : 1));
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
