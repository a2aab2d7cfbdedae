/** For tests: direct uploads on a real metadata store, over whatever storage a test has; and their client. */
import { strict as assert } from "node:assert";
import { createHash, randomBytes } from "node:crypto";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { Agent, type Dispatcher, request as sendRequest } from "undici";
import { typeDetector } from "../../packages/server/src/content-types/detect.ts";
import type { Actor } from "../../packages/server/src/core/access.ts";
import { AccessKeys } from "../../packages/server/src/core/access-keys.ts";
import { BlobsInUse } from "../../packages/server/src/core/blobs-in-use.ts";
import { type BucketSettings, Buckets } from "../../packages/server/src/core/buckets.ts";
import {
  type BeginDirectRequest,
  DirectUploads,
  type DirectView,
  type PartRequest,
} from "../../packages/server/src/core/direct/index.ts";
import { Multipart } from "../../packages/server/src/core/multipart/index.ts";
import { parseKey } from "../../packages/server/src/core/object-key.ts";
import { Objects } from "../../packages/server/src/core/objects.ts";
import type { Clock } from "../../packages/server/src/core/ports/clock.ts";
import { silentLog } from "../../packages/server/src/core/ports/log.ts";
import type { MetadataStore } from "../../packages/server/src/core/ports/metadata-store.ts";
import { silentMeter } from "../../packages/server/src/core/ports/meter.ts";
import { noSiblings } from "../../packages/server/src/core/ports/siblings.ts";
import type { StorageDriver } from "../../packages/server/src/core/ports/storage-driver.ts";
import {
  ResumableUploads,
  SteadyClock,
  UploadUpkeep,
} from "../../packages/server/src/core/resumable/index.ts";
import { createSealer } from "../../packages/server/src/core/sealing.ts";
import { openSqliteStore } from "../../packages/server/src/metadata/index.ts";
import { Sweeper } from "../../packages/server/src/operations/sweeper.ts";
import { withLayers } from "../../packages/server/src/storage/index.ts";
import { PartBuffers } from "../../packages/server/src/storage/s3/part-buffers.ts";
import { cleanUp } from "../harness/cleanup.ts";
import { temporaryFolder } from "../harness/temporary-folder.ts";
import { fixedStorages } from "../server/fixed-storages.ts";
import { chunks, root } from "./core.ts";

export const signal = new AbortController().signal;

/** A bare driver, its bucket empty; and how a client reaches it. */
export type OpenDriver = (t: TestContext) => Promise<{
  readonly driver: StorageDriver;
  readonly dispatcher?: Dispatcher;
}>;

export interface DirectCore {
  readonly direct: DirectUploads;
  readonly objects: Objects;
  readonly resumable: ResumableUploads;
  readonly metadata: MetadataStore;
  readonly driver: StorageDriver;
  readonly upkeep: UploadUpkeep;
  readonly sweeper: Sweeper;
  /** Time passes, for leases and expiry; requests are signed by the true time. */
  readonly pass: (ms: number) => void;
  readonly begin: (request: Partial<BeginDirectRequest>, actor?: Actor) => Promise<DirectView>;
  /** As a client does, without a credential: the status and ETag, without quotes. */
  readonly send: (
    upload: DirectView,
    part: PartRequest | number,
    bytes: Uint8Array,
    change?: { readonly method?: Dispatcher.HttpMethod; readonly url?: (url: string) => string },
  ) => Promise<{ readonly status: number; readonly etag: string; readonly text: string }>;
  readonly complete: (
    id: string,
    request?: Partial<Parameters<DirectUploads["complete"]>[2]>,
    actor?: Actor,
  ) => ReturnType<DirectUploads["complete"]>;
  /** `undefined` if there is no object. */
  readonly read: (key: string) => Promise<Buffer | undefined>;
  /** What the storage holds: blobs, and uploads of its own with a part. */
  readonly stored: () => Promise<{ readonly blobs: number; readonly pending: number }>;
}

export async function openDirect(
  t: TestContext,
  open: OpenDriver,
  options: {
    readonly bucket?: BucketSettings;
    readonly requestMs?: number;
    readonly partBytesMin?: number;
    readonly wrap?: (driver: StorageDriver) => StorageDriver;
  } = {},
): Promise<DirectCore> {
  const folder = await temporaryFolder(t);
  const metadata = await openSqliteStore({ path: join(folder, "m.sqlite"), log: silentLog });
  let passedMs = 0;
  const clock: Clock = {
    now: () => new Date(),
    monotonicMs: () => performance.now() + passedMs,
  };
  const opened = await open(t);
  const driver = withLayers(options.wrap?.(opened.driver) ?? opened.driver);
  const dispatcher = opened.dispatcher ?? new Agent();
  const storages = fixedStorages([driver]);
  const buckets = new Buckets({ metadata, storages, clock, trashMs: null });
  await buckets.create(root, "b", options.bucket ?? {});
  const steady = await SteadyClock.start({ clock, settings: metadata });
  const sealer = createSealer(randomBytes(32));
  const accessKeys = new AccessKeys({ metadata, sealer, clock });
  await accessKeys.ensureRoot({ id: "ROOT", secret: "a-secret-for-tests" });
  const shared = {
    ...{ metadata, storages, buckets, clock, steady, installation: "test", blobGraceMs: 0 },
    ...{ detector: typeDetector, log: silentLog, meter: silentMeter },
  };
  const objects = new Objects(shared);
  const partBytesMin = options.partBytesMin ?? 5 * 1024 ** 2;
  const multipart = new Multipart({ ...shared, objects, partBytesMin });
  const direct = new DirectUploads({
    ...{ ...shared, objects, multipart, accessKeys, partBytesMin },
    signingKey: sealer.deriveKey("test"),
    ...(options.requestMs === undefined ? {} : { requestMs: options.requestMs }),
  });
  const resumable = new ResumableUploads({ ...shared, buffers: new PartBuffers() });
  const upkeep = new UploadUpkeep({ ...shared, uploads: resumable, intervalMs: 60_000 });
  const sweeper = new Sweeper({
    ...{ metadata, storages, installation: "test", clock, log: silentLog, meter: silentMeter },
    steadyNow: () => clock.now(),
    inUse: new BlobsInUse({
      ...{ siblings: noSiblings(), storages },
      isWriting: (key) => multipart.isWriting(key),
      isReading: (key) => objects.isReading(key),
      oldestRunningAt: () => multipart.oldestRunningAt(),
    }),
    ownedKeys: (storageId, keys) => metadata.uploadsOwning(storageId, keys),
    ...{ intervalMs: 86_400_000, ageMsMin: 0, orphanShareMax: 1, orphansFree: 1_000 },
  });
  cleanUp(t, async () => {
    await sweeper[Symbol.asyncDispose]();
    await direct.close();
    await multipart.close();
    await resumable.close();
    await driver[Symbol.asyncDispose]();
    await dispatcher.destroy();
    await metadata[Symbol.asyncDispose]();
  });
  return {
    ...{ direct, objects, resumable, metadata, driver, upkeep, sweeper },
    pass: (ms) => {
      passedMs += ms;
    },
    begin: (request, actor = root) =>
      direct.begin(actor, { bucket: "b", key: parseKey("k"), length: 0, signal, ...request }),
    send: async (upload, given, bytes, change = {}) => {
      const part = typeof given === "number" ? requestOf(upload, given) : given;
      if (part.to === "server") {
        const { number, expiresSeconds, signature } = part;
        const signed = { number, expiresSeconds, signature };
        const sent = { uploadId: upload.id, method: "PUT", ...signed } as const;
        const { etag } = await direct.putPart({ ...sent, open: () => chunks(bytes), signal });
        return { status: 200, etag, text: "" };
      }
      const answer = await sendRequest(change.url?.(part.url) ?? part.url, {
        method: change.method ?? "PUT",
        headers: part.headers,
        ...(change.method === "GET" ? {} : { body: bytes }),
        dispatcher,
      });
      const etag = String(answer.headers.etag ?? "").replaceAll('"', "");
      return { status: answer.statusCode, etag, text: await answer.body.text() };
    },
    complete: (id, request = {}, actor = root) =>
      direct.complete(actor, id, { signal, ...request }),
    read: async (key) => {
      if ((await metadata.headObject("b", key)) === undefined) return undefined;
      const opened = await objects.open(root, { bucket: "b", key: parseKey(key) });
      const read: Uint8Array[] = [];
      for await (const chunk of await opened.read({ signal })) read.push(Uint8Array.from(chunk));
      return Buffer.concat(read);
    },
    stored: async () => {
      const blobs = (await Array.fromAsync(driver.list("b/", { signal }))).length;
      const pending = await Array.fromAsync(driver.parts?.listPending("b/", { signal }) ?? []);
      return { blobs, pending: pending.length };
    },
  };
}

export function requestOf({ requests }: DirectView, number: number): PartRequest {
  return requests.find((request) => request.number === number) ?? assert.fail(`part ${number}`);
}

export function digest(name: "md5" | "sha256", bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash(name).update(bytes).digest());
}
