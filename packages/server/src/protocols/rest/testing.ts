/** A server of real parts and a plain client, for the tests of this folder. Nothing else imports it. */
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { z } from "zod";
import { secret } from "../../config/index.ts";
import { typeDetector } from "../../content-types/detect.ts";
import { AccessKeys } from "../../core/access-keys.ts";
import { Audit } from "../../core/audit/index.ts";
import { Buckets } from "../../core/buckets.ts";
import { BulkDeletes } from "../../core/bulk-deletes.ts";
import { DirectUploads, partSignaturePurpose } from "../../core/direct/index.ts";
import { DataEnvironment } from "../../core/environment.ts";
import { OperationalError } from "../../core/errors.ts";
import { Idempotency } from "../../core/idempotency.ts";
import { Multipart } from "../../core/multipart/index.ts";
import { Objects } from "../../core/objects.ts";
import { type Clock, systemClock } from "../../core/ports/clock.ts";
import type { IdempotencyStore } from "../../core/ports/idempotency-store.ts";
import { silentLog } from "../../core/ports/log.ts";
import { silentMeter } from "../../core/ports/meter.ts";
import { noSiblings } from "../../core/ports/siblings.ts";
import { ResumableUploads, SteadyClock } from "../../core/resumable/index.ts";
import { createSealer } from "../../core/sealing.ts";
import { storageCorsOf } from "../../core/storage-cors.ts";
import { Trash } from "../../core/trash.ts";
import { Uploads } from "../../core/uploads.ts";
import { closeHttp, createHttp, currentBudget, httpConfig } from "../../http/index.ts";
import { openSqliteStore } from "../../metadata/index.ts";
import {
  admitStorage,
  type CanaryReport,
  canaryMarkdown,
  type MemoryContent,
  memoryContent,
  openMemoryStorage,
  runCanary,
  type StorageKind,
  StorageRegistry,
  sharedPartBuffers,
  storageKind,
  storageKinds,
  withLayers,
} from "../../storage/index.ts";
import { renderRestError } from "./errors.ts";
import { ossCallbackUrl } from "./oss-callback.ts";
import { OssKeys } from "./oss-keys.ts";
import { restProtocol } from "./routes.ts";
import type { StorageAdministration } from "./storage-administration.ts";

export interface RestServer {
  readonly port: number;
  readonly url: string;
  readonly key: { readonly id: string; readonly secret: string };
  /** What the storage really holds. */
  readonly content: MemoryContent;
  /** What the memory of another storage holds; its setting `place` leads there. */
  readonly contentOf: (place: string) => MemoryContent;
  /** Moves the time by which grants and signatures are judged. */
  readonly advance: (ms: number) => void;
  readonly registered: readonly string[];
  readonly call: Call;
}

export interface CallOptions {
  /** `undefined` for the root key. */
  readonly as?: "nobody" | { readonly id: string; readonly secret: string };
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly body?: Buffer | string | object;
}

export interface Answered {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly text: string;
  /** Of a JSON answer. */
  readonly json: Record<string, unknown>;
}

/** The target goes out exactly as given. */
export type Call = (method: string, target: string, options?: CallOptions) => Promise<Answered>;

export async function startRest(
  t: TestContext,
  options: {
    readonly http?: object;
    readonly publicUrl?: string;
    /** Storages that it can open beside those of every server. */
    readonly kinds?: Readonly<Record<string, StorageKind>>;
    /** Where the keys of OSS are. */
    readonly ossKeys?: string;
    /** The store does not take answers to requests with an Idempotency-Key, as one that ended just before. */
    readonly answersLost?: () => boolean;
  } = {},
): Promise<RestServer> {
  const opened = new AsyncDisposableStack();
  t.after(() => opened.disposeAsync());
  const folder = await mkdtemp(join(tmpdir(), "roma-rest-"));
  opened.defer(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, "roma.sqlite");
  const metadata = opened.use(await openSqliteStore({ path, log: silentLog, currentBudget }));
  let aheadMs = 0;
  const clock: Clock = {
    now: () => new Date(systemClock.now().getTime() + aheadMs),
    monotonicMs: () => systemClock.monotonicMs() + aheadMs,
  };
  const contents = new Map<string, MemoryContent>();
  const contentOf = (place: string): MemoryContent => {
    const known = contents.get(place) ?? memoryContent();
    contents.set(place, known);
    return known;
  };
  const sealer = createSealer(Buffer.alloc(32, 7));
  const storages = opened.use(
    await StorageRegistry.open<CanaryReport>({
      metadata,
      sealer,
      kinds: new Map([
        ...storageKinds({ clock, environment: {} }),
        ["memory", memoryKind(contentOf)],
        ...Object.entries(options.kinds ?? {}),
      ]),
      builtIn: [{ id: "memory", driver: "memory", settings: { place: "memory" } }],
      wrap: (driver) => withLayers(driver),
      admit: (driver, { signal, mayWrite }) => admitStorage(driver, { signal, mayWrite }),
      test: (driver, { signal }) => runCanary(driver, { form: "long", signal }),
      clock,
      log: silentLog,
    }),
  );
  const buckets = new Buckets({ metadata, storages, clock });
  const shared = { metadata, storages, buckets, clock, log: silentLog, blobGraceMs: 60_000 };
  const steady = await SteadyClock.start({ clock, settings: metadata });
  const resumable = new ResumableUploads({
    installation: "test",
    ...shared,
    detector: typeDetector,
    meter: silentMeter,
    steady,
    buffers: sharedPartBuffers(),
  });
  opened.defer(() => resumable.close());
  const accessKeys = new AccessKeys({ metadata, sealer, clock });
  const objects = new Objects({ ...shared, meter: silentMeter });
  const core = { ...shared, steady, detector: typeDetector, meter: silentMeter, objects };
  const multipart = new Multipart({ ...core, installation: "test", partBytesMin: 1024 });
  const { publicUrl, ossKeys: origin } = options;
  const direct = new DirectUploads({
    ...core,
    accessKeys,
    multipart,
    installation: "test",
    signingKey: sealer.deriveKey(partSignaturePurpose),
    partBytesMin: 1024,
    ...(publicUrl === undefined ? {} : { callbackUrl: ossCallbackUrl(publicUrl) }),
  });
  opened.defer(() => multipart.close());
  opened.defer(() => direct.close());
  const ossKeys = opened.use(
    new OssKeys({
      ...{ clock, log: silentLog, msMax: 60_000 },
      ...(origin === undefined ? {} : { origin }),
    }),
  );
  const key = { id: "ROOTKEY", secret: "correct-horse-battery" };
  await accessKeys.ensureRoot(key);
  const app = createHttp({
    log: silentLog,
    config: httpConfig.parse(options.http ?? {}),
    renderError: renderRestError,
    tickMs: 20,
  });
  const environment = await DataEnvironment.read({ settings: metadata, log: silentLog });
  const registered: string[] = [];
  app.addHook("onRoute", ({ method, url }) => {
    registered.push(...[method].flat().map((name) => `${name} ${url}`));
  });
  const bulkDeletes = new BulkDeletes({
    ...{ metadata, buckets, environment, clock, log: silentLog, siblings: noSiblings() },
    ...{ blobGraceMs: 60_000, perSecond: 1000, perHour: 100_000, trashMsDefault: 86_400_000 },
  });
  opened.use(bulkDeletes.lead());
  await app.register(
    restProtocol({
      buckets,
      accessKeys,
      objects,
      trash: new Trash({ ...shared, steady }),
      audit: new Audit({ metadata }),
      idempotency: new Idempotency({
        ...{ metadata: forgetful(metadata, options.answersLost), clock, log: silentLog },
        ...{ keepMs: 86_400_000, keysMax: 100, siblings: noSiblings() },
      }),
      direct,
      uploads: new Uploads({
        installation: "test",
        ...shared,
        detector: typeDetector,
        meter: silentMeter,
      }),
      resumable,
      environment,
      bulkDeletes,
      storages: administrationOf(storages),
      ossKeys,
      ...(publicUrl === undefined ? {} : { publicUrl }),
      clock,
      log: silentLog,
    }),
    { prefix: "/v1" },
  );
  await app.listen({ port: 0, host: "127.0.0.1" });
  opened.defer(() => closeHttp(app, { drainMs: 0 }));
  const { port } = app.server.address() as AddressInfo;
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    key,
    content: contentOf("memory"),
    contentOf,
    registered,
    advance: (ms) => {
      aheadMs += ms;
    },
    call: (method, target, given) => send(port, key, method, target, given),
  };
}

function forgetful(store: IdempotencyStore, answersLost = () => false): IdempotencyStore {
  return {
    takeIdempotencyKey: (request) => store.takeIdempotencyKey(request),
    renewIdempotencyKey: (mark, lease) => store.renewIdempotencyKey(mark, lease),
    releaseIdempotencyKey: (mark) => store.releaseIdempotencyKey(mark),
    forgetIdempotencyKeys: (which) => store.forgetIdempotencyKeys(which),
    recordIdempotentAnswer: async (mark, answer) => {
      if (answersLost()) throw new OperationalError("unavailable", "the store is gone");
      await store.recordIdempotentAnswer(mark, answer);
    },
  };
}

/** Memory that outlives its storage; the place stands in for a mark. */
function memoryKind(contentOf: (place: string) => MemoryContent) {
  return storageKind({
    schema: z.strictObject({ place: z.string().min(1), token: secret().optional() }),
    open: async ({ place }, { id }) => ({
      driver: openMemoryStorage({ id, content: contentOf(place) }),
      mark: { uuid: `memory ${place}`, storageId: id, label: async () => {} },
    }),
  });
}

function administrationOf(registry: StorageRegistry<CanaryReport>): StorageAdministration {
  return {
    list: () => registry.list(),
    everywhere: (infos) => registry.everywhere(infos),
    describe: (id) => registry.describe(id),
    add: (storage) => registry.add(storage),
    change: (id, changes) => registry.change(id, changes),
    makeDefault: (id) => registry.makeDefault(id),
    retire: (id) => registry.retire(id),
    forget: (id) => registry.forget(id),
    ...storageCorsOf(registry),
    test: async (id, options) => {
      const report = await registry.test(id, options);
      return { ...report, markdown: canaryMarkdown(report) };
    },
  };
}

async function send(
  port: number,
  root: { readonly id: string; readonly secret: string },
  method: string,
  target: string,
  options: CallOptions = {},
): Promise<Answered> {
  const { as = root, body } = options;
  const isJson = typeof body === "object" && !Buffer.isBuffer(body);
  const bytes = isJson ? JSON.stringify(body) : body;
  const headers: Record<string, string | string[]> = { ...options.headers };
  if (as !== "nobody") headers.authorization ??= basic(as);
  if (isJson) headers["content-type"] ??= "application/json";
  if (bytes !== undefined && headers["transfer-encoding"] === undefined) {
    headers["content-length"] ??= String(Buffer.byteLength(bytes));
  }
  const sent = httpRequest({ port, host: "127.0.0.1", method, path: target, headers });
  // A connection may break after an early answer, while the rest is still being sent.
  sent.on("error", () => undefined);
  sent.end(bytes);
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  const received = Buffer.concat(chunks);
  const text = received.toString();
  const type = response.headers["content-type"] ?? "";
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: received,
    text,
    json: /[/+]json/.test(type) && text !== "" ? JSON.parse(text) : {},
  };
}

export function basic({ id, secret }: { readonly id: string; readonly secret: string }): string {
  return `Basic ${Buffer.from(`${id}:${secret}`).toString("base64")}`;
}

/** Writes bytes to a new connection and reads until the server closes it. */
export async function exchangeRaw(port: number, bytes: Buffer | string): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1" });
  socket.write(bytes);
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk);
  return Buffer.concat(chunks).toString("latin1");
}

/** The bytes of a form as FormData sends it, and its Content-Type. */
export async function formOf(entries: readonly (readonly [string, string | File])[]) {
  const form = new FormData();
  for (const [name, value] of entries) {
    if (typeof value === "string") form.append(name, value);
    else form.append(name, value);
  }
  const response = new Response(form);
  return {
    body: Buffer.from(await response.arrayBuffer()),
    headers: { "content-type": response.headers.get("content-type") ?? "" },
  };
}
