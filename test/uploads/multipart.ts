/** For tests: uploads in parts on a real metadata store, over storages of several kinds. */
import { createHash, randomBytes } from "node:crypto";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { typeDetector } from "../../packages/server/src/content-types/detect.ts";
import { type BucketSettings, Buckets } from "../../packages/server/src/core/buckets.ts";
import { Multipart } from "../../packages/server/src/core/multipart/index.ts";
import { parseKey } from "../../packages/server/src/core/object-key.ts";
import { Objects } from "../../packages/server/src/core/objects.ts";
import type { Clock } from "../../packages/server/src/core/ports/clock.ts";
import { silentLog } from "../../packages/server/src/core/ports/log.ts";
import type { MetadataStore } from "../../packages/server/src/core/ports/metadata-store.ts";
import { silentMeter } from "../../packages/server/src/core/ports/meter.ts";
import type { StorageDriver } from "../../packages/server/src/core/ports/storage-driver.ts";
import {
  ResumableUploads,
  SteadyClock,
  UploadUpkeep,
} from "../../packages/server/src/core/resumable/index.ts";
import { openSqliteStore } from "../../packages/server/src/metadata/index.ts";
import { openPosixStorage, withLayers } from "../../packages/server/src/storage/index.ts";
import { openMemoryStorage } from "../../packages/server/src/storage/memory/driver.ts";
import { s3Config } from "../../packages/server/src/storage/s3/config.ts";
import { openS3Storage } from "../../packages/server/src/storage/s3/driver.ts";
import { Emulator } from "../../packages/server/src/storage/s3/emulator/testing.ts";
import { PartBuffers } from "../../packages/server/src/storage/s3/part-buffers.ts";
import { cleanUp } from "../harness/cleanup.ts";
import { temporaryFolder } from "../harness/temporary-folder.ts";
import { fixedStorages } from "../server/fixed-storages.ts";
import { chunks, root } from "./core.ts";

export { root } from "./core.ts";

/** On a disk; in memory; in a storage that puts blobs together by itself. */
export const storageKinds = ["posix", "memory", "s3"] as const;

export interface MultipartCore {
  /** What a storage of the kind `s3` was asked, as `PUT part`. */
  readonly requests: readonly string[];
  readonly multipart: Multipart;
  /** A second process on the same store and storage. */
  readonly other: () => Multipart;
  readonly objects: Objects;
  readonly resumable: ResumableUploads;
  readonly metadata: MetadataStore;
  readonly driver: StorageDriver;
  readonly buckets: Buckets;
  readonly upkeep: UploadUpkeep;
  /** Time passes. */
  readonly pass: (ms: number) => void;
  readonly create: (key: string, more?: object) => Promise<Address>;
  readonly put: (
    address: Address,
    partNumber: number,
    bytes: Uint8Array,
    more?: object,
  ) => Promise<Named>;
  readonly complete: (
    address: Address,
    parts: readonly Named[],
    more?: object,
  ) => ReturnType<Multipart["complete"]>;
  /** With both bounds, a range. */
  readonly read: (key: string, firstByte?: number, lastByte?: number) => Promise<Buffer>;
  /** Keys of all blobs in the storage. */
  readonly blobs: () => Promise<readonly string[]>;
  /** Keys of those that wait to be removed. */
  readonly garbage: () => Promise<readonly string[]>;
}

export type Address = Parameters<Multipart["putPart"]>[1];
export type Named = Awaited<ReturnType<Multipart["putPart"]>>;

const signal = new AbortController().signal;

export async function openMultipart(
  t: TestContext,
  options: {
    readonly kind: (typeof storageKinds)[number];
    readonly bucket?: BucketSettings;
    readonly wrap?: (driver: StorageDriver) => StorageDriver;
    readonly partBytesMin?: number;
    /** Beside it, in memory. */
    readonly secondStorage?: string;
  },
): Promise<MultipartCore> {
  const folder = await temporaryFolder(t);
  const metadata = await openSqliteStore({ path: join(folder, "m.sqlite"), log: silentLog });
  let passedMs = 0;
  const clock: Clock = {
    now: () => new Date(Date.now() + passedMs),
    monotonicMs: () => performance.now() + passedMs,
  };
  const emulator = options.kind === "s3" ? await emulated() : undefined;
  const bare =
    emulator?.driver ??
    (options.kind === "posix"
      ? await openPosixStorage({ id: "store", root: join(folder, "objects"), createMarker: true })
      : openMemoryStorage({ id: "store" }));
  const driver = withLayers(options.wrap?.(bare) ?? bare);
  const others = options.secondStorage === undefined ? [] : [options.secondStorage];
  const storages = fixedStorages([
    driver,
    ...others.map((id) => withLayers(openMemoryStorage({ id }))),
  ]);
  const buckets = new Buckets({ metadata, storages, clock, trashMs: null });
  await buckets.create(root, "b", options.bucket ?? {});
  const steady = await SteadyClock.start({ clock, settings: metadata });
  const shared = {
    metadata,
    storages,
    buckets,
    clock,
    steady,
    detector: typeDetector,
    log: silentLog,
    meter: silentMeter,
    installation: "test",
    blobGraceMs: 60_000,
  };
  const objects = new Objects(shared);
  const { partBytesMin = 1_000 } = options;
  const make = (): Multipart => new Multipart({ ...shared, objects, partBytesMin });
  const multipart = make();
  const resumable = new ResumableUploads({ ...shared, buffers: new PartBuffers() });
  const upkeep = new UploadUpkeep({ ...shared, uploads: resumable, intervalMs: 60_000 });
  cleanUp(t, async () => {
    await multipart.close();
    await resumable.close();
    await driver[Symbol.asyncDispose]();
    await emulator?.emulator[Symbol.asyncDispose]();
    await metadata[Symbol.asyncDispose]();
  });
  return {
    requests: emulator?.emulator.requests ?? [],
    multipart,
    other: make,
    objects,
    resumable,
    metadata,
    driver,
    buckets,
    upkeep,
    pass: (ms) => {
      passedMs += ms;
    },
    create: async (key, more = {}) => {
      const { id } = await multipart.create(root, { bucket: "b", key: parseKey(key), ...more });
      return { bucket: "b", key: parseKey(key), uploadId: id };
    },
    put: (address, partNumber, bytes, more = {}) =>
      multipart.putPart(root, address, {
        partNumber,
        body: chunks(bytes),
        length: bytes.length,
        signal,
        ...more,
      }),
    complete: (address, parts, more = {}) =>
      multipart.complete(root, address, { parts, signal, ...more }),
    read: async (key, firstByte, lastByte) => {
      const opened = await objects.open(root, { bucket: "b", key: parseKey(key) });
      const range =
        firstByte === undefined || lastByte === undefined ? {} : { firstByte, lastByte };
      const read: Uint8Array[] = [];
      for await (const chunk of await opened.read({ signal, ...range })) {
        read.push(Uint8Array.from(chunk));
      }
      return Buffer.concat(read);
    },
    blobs: async () => {
      const keys: string[] = [];
      for await (const { key } of driver.list("", { signal })) keys.push(key);
      return keys;
    },
    garbage: async () => {
      const due = { dueBefore: new Date("9999-01-01T00:00:00Z"), limit: 1000 };
      return (await metadata.listGarbage(due)).map(({ blobKey }) => blobKey);
    },
  };
}

async function emulated(): Promise<{ emulator: Emulator; driver: StorageDriver }> {
  const emulator = await new Emulator({ vendor: "alibaba-oss" }).listen();
  const { accessKeyId, secretAccessKey } = emulator.key;
  const { endpoint, region, bucket, lookup } = emulator;
  const given = { vendor: "alibaba-oss", endpoint, region, bucket, accessKeyId, secretAccessKey };
  return { emulator, driver: openS3Storage({ id: "store", ...s3Config.parse(given), lookup }) };
}

export function bytesOf(length: number): Buffer {
  return randomBytes(length);
}

/** As S3 makes it. */
export function multipartEtag(parts: readonly Uint8Array[]): string {
  const md5 = (bytes: Uint8Array): Buffer => createHash("md5").update(bytes).digest();
  return `${md5(Buffer.concat(parts.map(md5))).toString("hex")}-${parts.length}`;
}
