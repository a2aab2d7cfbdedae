/** For tests: resumable uploads on a real metadata store, over storages of both kinds. */
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { typeDetector } from "../../packages/server/src/content-types/detect.ts";
import type { Actor } from "../../packages/server/src/core/access.ts";
import { type BucketSettings, Buckets } from "../../packages/server/src/core/buckets.ts";
import { parseKey } from "../../packages/server/src/core/object-key.ts";
import { Objects } from "../../packages/server/src/core/objects.ts";
import type { Clock } from "../../packages/server/src/core/ports/clock.ts";
import { silentLog } from "../../packages/server/src/core/ports/log.ts";
import type { MetadataStore } from "../../packages/server/src/core/ports/metadata-store.ts";
import { silentMeter } from "../../packages/server/src/core/ports/meter.ts";
import type { Body, StorageDriver } from "../../packages/server/src/core/ports/storage-driver.ts";
import {
  type AppendRequest,
  ResumableUploads,
  SteadyClock,
  UploadUpkeep,
} from "../../packages/server/src/core/resumable/index.ts";
import { openSqliteStore } from "../../packages/server/src/metadata/index.ts";
import { openPosixStorage, withLayers } from "../../packages/server/src/storage/index.ts";
import { forward, forwardParts } from "../../packages/server/src/storage/layers/forward.ts";
import { openMemoryStorage } from "../../packages/server/src/storage/memory/driver.ts";
import { PartBuffers } from "../../packages/server/src/storage/s3/part-buffers.ts";
import { cleanUp } from "../harness/cleanup.ts";
import { temporaryFolder } from "../harness/temporary-folder.ts";
import { fixedStorages } from "../server/fixed-storages.ts";

/** In place on a disk, and in numbered parts. */
export const storageKinds = ["append", "parts"] as const;
export type StorageKindName = (typeof storageKinds)[number];

export const root: Actor = {
  kind: "key",
  keyId: "ROOT",
  policy: [{ actions: ["*"], buckets: ["*"] }],
};

export const partBytes = 64 * 1024;

export interface CoreOptions {
  readonly kind: StorageKindName;
  readonly bucket?: BucketSettings;
  /** Between the layers and the driver. */
  readonly wrap?: (driver: StorageDriver) => StorageDriver;
  readonly openMax?: number;
  readonly createsPerSecondMax?: number;
}

export interface TestCore extends AsyncDisposable {
  readonly uploads: ResumableUploads;
  /** A second process on the same store and storage. */
  readonly other: () => ResumableUploads;
  readonly objects: Objects;
  readonly buckets: Buckets;
  readonly metadata: MetadataStore;
  readonly driver: StorageDriver;
  readonly upkeep: UploadUpkeep;
  readonly buffers: PartBuffers;
  /** The system's time, without the time that passes. */
  readonly moveWall: (ms: number) => void;
  readonly wallNow: () => Date;
  /** Time passes. */
  readonly pass: (ms: number) => void;
  readonly read: (key: string) => Promise<Buffer>;
  readonly append: (
    id: string,
    offset: number,
    bytes: Uint8Array | Body,
    request?: Partial<AppendRequest>,
  ) => ReturnType<ResumableUploads["append"]>;
  readonly create: (
    key: string,
    length?: number,
    more?: object,
  ) => ReturnType<ResumableUploads["create"]>;
}

export async function openCore(t: TestContext, options: CoreOptions): Promise<TestCore> {
  const folder = await temporaryFolder(t);
  const metadata = await openSqliteStore({ path: join(folder, "m.sqlite"), log: silentLog });
  let wallMs = 0;
  let passedMs = 0;
  const clock: Clock = {
    now: () => new Date(Date.now() + wallMs + passedMs),
    monotonicMs: () => performance.now() + passedMs,
  };
  const bare =
    options.kind === "append"
      ? await openPosixStorage({ id: "store", root: join(folder, "objects"), createMarker: true })
      : withoutAppend(openMemoryStorage({ id: "store" }));
  const driver = withLayers(options.wrap?.(bare) ?? bare);
  const storages = fixedStorages([driver]);
  const buckets = new Buckets({ metadata, storages, clock, trashMs: null });
  await buckets.create(root, "b", options.bucket ?? {});
  const buffers = new PartBuffers();
  const steady = await SteadyClock.start({ clock, settings: metadata });
  const shared = { metadata, storages, buckets, clock, blobGraceMs: 0, log: silentLog };
  const make = (): ResumableUploads =>
    new ResumableUploads({
      ...shared,
      steady,
      detector: typeDetector,
      meter: silentMeter,
      buffers,
      partBytesLeast: partBytes,
      installation: "test",
      ...(options.openMax === undefined ? {} : { openMax: options.openMax }),
      ...(options.createsPerSecondMax === undefined
        ? {}
        : { createsPerSecondMax: options.createsPerSecondMax }),
    });
  const uploads = make();
  const objects = new Objects({ ...shared, meter: silentMeter });
  const upkeep = new UploadUpkeep({
    uploads,
    metadata,
    clock,
    steady,
    log: silentLog,
    intervalMs: 60_000,
  });
  const close = async (): Promise<void> => {
    await uploads.close();
    await driver[Symbol.asyncDispose]();
    await metadata[Symbol.asyncDispose]();
  };
  cleanUp(t, close);
  const signal = new AbortController().signal;
  return {
    uploads,
    other: make,
    objects,
    buckets,
    metadata,
    driver,
    upkeep,
    buffers,
    moveWall: (ms) => {
      wallMs += ms;
    },
    wallNow: () => clock.now(),
    pass: (ms) => {
      passedMs += ms;
    },
    read: async (key) => {
      const opened = await objects.open(root, { bucket: "b", key: parseKey(key) });
      const body = await opened.read({ signal });
      const chunks: Uint8Array[] = [];
      for await (const chunk of body) chunks.push(Uint8Array.from(chunk));
      return Buffer.concat(chunks);
    },
    append: (id, offset, bytes, request = {}) =>
      uploads.append(root, id, {
        offset,
        body: bytes instanceof Uint8Array ? chunks(bytes) : bytes,
        ...(bytes instanceof Uint8Array ? { bodyLength: bytes.length } : {}),
        complete: "at-length",
        signal,
        ...request,
      }),
    create: (key, length, more = {}) =>
      uploads.create(root, {
        bucket: "b",
        key: parseKey(key),
        kind: "object",
        protocol: "tus",
        ...(length === undefined ? {} : { length }),
        signal,
        ...more,
      }),
    [Symbol.asyncDispose]: close,
  };
}

/** As a storage that knows parts only. */
const withoutAppend = (driver: StorageDriver): StorageDriver =>
  forward(driver, {
    parts: (parts) => {
      const { append: _append, ...numbered } = forwardParts(parts, {});
      return numbered;
    },
  });

/** In pieces of uneven sizes. */
export async function* chunks(bytes: Uint8Array, size = 20_000): Body {
  for (let start = 0; start < bytes.length; start += size) {
    yield Uint8Array.from(bytes.subarray(start, start + size));
  }
}

/** The bytes, and then nothing for ever: `cut` ends it with an error, as a connection that broke. */
export function hanging(bytes: Uint8Array): { readonly body: Body; readonly cut: () => void } {
  const broken = Promise.withResolvers<never>();
  broken.promise.catch(() => undefined);
  async function* body(): Body {
    yield* chunks(bytes);
    await broken.promise;
  }
  const reason = new Error(`the connection was closed ${randomUUID()}`);
  return { body: body(), cut: () => broken.reject(reason) };
}
