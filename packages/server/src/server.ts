/**
 * The one file that knows every module: configuration in, running server out. Opens from the inside
 * out (store, storages, core, sweeper, listeners) and closes in the opposite order, so that nothing is
 * ever used before it is there or after it is gone.
 */
import { createHash } from "node:crypto";
import { consoleFolder } from "@roma/console";
import type { FastifyInstance } from "fastify";
import { refusalOf } from "./authentication/index.ts";
import { typeDetector } from "./content-types/detect.ts";
import { AccessKeys } from "./core/access-keys.ts";
import { Audit, AuditUpkeep, Refusals } from "./core/audit/index.ts";
import { BlobsInUse } from "./core/blobs-in-use.ts";
import { Buckets } from "./core/buckets.ts";
import { BulkDeletes } from "./core/bulk-deletes.ts";
import { DirectUploads, partSignaturePurpose } from "./core/direct/index.ts";
import { DataEnvironment } from "./core/environment.ts";
import { isOperationalError } from "./core/errors.ts";
import { fencedStore } from "./core/fenced-store.ts";
import { Idempotency } from "./core/idempotency.ts";
import { newInstallation } from "./core/ids.ts";
import { Led } from "./core/led.ts";
import { Multipart } from "./core/multipart/index.ts";
import { Objects } from "./core/objects.ts";
import type { Alerts } from "./core/ports/alerts.ts";
import { type Clock, systemClock } from "./core/ports/clock.ts";
import type { Log } from "./core/ports/log.ts";
import type { MetadataStore } from "./core/ports/metadata-store.ts";
import type { Meter } from "./core/ports/meter.ts";
import { noSiblings, type Siblings } from "./core/ports/siblings.ts";
import type { Storages } from "./core/ports/storages.ts";
import {
  LeaseHolder,
  ResumableUploads,
  SteadyClock,
  UploadUpkeep,
} from "./core/resumable/index.ts";
import { weekMs } from "./core/safety-settings.ts";
import { StagedUploads } from "./core/staged-uploads.ts";
import { Trash } from "./core/trash.ts";
import { Uploads } from "./core/uploads.ts";
import { closeHttp, createHttp, currentBudget, type HttpOptions, Overload } from "./http/index.ts";
import { logRequests, type ServerLog } from "./logging/index.ts";
import { openSqliteStore } from "./metadata/index.ts";
import { Activity, type ActivitySample } from "./operations/activity.ts";
import { watchClock } from "./operations/alerts/clock-watch.ts";
import { openAlerts } from "./operations/alerts/index.ts";
import { meteredAlerts } from "./operations/alerts/metered-alerts.ts";
import { watchWorkers } from "./operations/alerts/worker-watch.ts";
import { openDataFolder, openSealer } from "./operations/data-folder.ts";
import { meterHttp } from "./operations/http-metrics.ts";
import { MergedMetrics } from "./operations/merged-metrics.ts";
import { createMetrics } from "./operations/metrics.ts";
import { createOperationsServer } from "./operations/operations-server.ts";
import { Readiness, type ReadinessCheck } from "./operations/readiness.ts";
import { ensureRootKey, type RootKey, readRootKeyOnly } from "./operations/root-key.ts";
import { Sweeper } from "./operations/sweeper.ts";
import { openTracing, tracedStore } from "./operations/tracing/index.ts";
import { companionProtocol } from "./protocols/companion/index.ts";
import { consoleProtocol } from "./protocols/console/index.ts";
import {
  Applications,
  parseProtocol,
  Replays,
  renderParseError,
  Sessions,
} from "./protocols/parse/index.ts";
import {
  OssKeys,
  objectPath,
  ossCallbackUrl,
  refuseRoute,
  renderRestError,
  restProtocol,
} from "./protocols/rest/index.ts";
import { renderS3Error, s3Protocol } from "./protocols/s3/index.ts";
import { tusProtocol } from "./protocols/tus/index.ts";
import type { ServerConfig } from "./server-config.ts";
import { assertDataUsable, Guards } from "./server-guards.ts";
import { openStorages } from "./server-storages.ts";
import { sharedPartBuffers } from "./storage/index.ts";
import type { HandedConnections } from "./supervisor/index.ts";
import { mountCallsMax } from "./thread-pool.ts";

/** For what a parse-server says of a session. */
const sessionMsMaxDefault = 5_000;

/** Where the S3 interface is on the main listener. */
const s3Path = "/s3";

/** Where Parse's files are. */
const parsePath = "/parse";

/** The bucket to try, made at the first start. */
const demoBucket = "demo";

export interface RunningServer extends AsyncDisposable {
  /** `http://HOST:PORT`, with the port that was given by the system if it was 0. */
  readonly url: string;
  readonly opsUrl: string;
  /** Of the listener for S3 alone, if there is one. */
  readonly s3Url?: string;
  readonly rootKey: RootKey;
  /** Made at this start, to be tried. */
  readonly newBucket?: string;
  /** What it does now, in few words. */
  activity(): Promise<ActivitySample>;
  /** Answers from now on say that their connection ends with them. Before a `close` that is in no hurry. */
  sayGoodbye(): void;
  /** Stops accepting, lets requests end within `drain`, then closes all. Idempotent. */
  close(): Promise<void>;
}

export interface ServerParts {
  /** The process's own counts its dropped lines among the metrics. */
  readonly log: Log & Partial<Pick<ServerLog, "countTo">>;
  readonly clock?: Clock;
  /** The process's, for storages whose keys come from there; left out: they find none. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** The other workers of this server; left out: there are none. */
  readonly siblings?: Siblings;
  /**
   * Names the server that this process is a worker of, the same for all its workers and new with each start of
   * the whole: who has that name may use the data folder beside them. Left out: nobody may.
   */
  readonly serverName?: string | undefined;
  /** Asks whoever runs this process to replace it in order; left out: nobody does. */
  readonly recycle?: (reason: string) => void;
  /** Whoever accepts the connections; left out: each listener has a socket of its own. */
  readonly connections?: Pick<HandedConnections, "listen">;
}

/** Rejects, with everything closed again, when a part cannot be opened. */
export async function startServer(
  config: ServerConfig,
  parts: ServerParts,
): Promise<RunningServer> {
  const { log } = parts;
  const clock = parts.clock ?? systemClock;
  const siblings = parts.siblings ?? noSiblings();
  const metrics = createMetrics();
  await using opened = new AsyncDisposableStack();
  const about = { server: "roma", environment: config.environment ?? null };
  const alerts = opened.use(
    openAlerts({
      ...{ config: config.alerts, siblings, clock, log, meter: metrics.meter },
      about: () => about,
    }),
  );
  opened.use(watchWorkers({ siblings, alerts, clock }));
  opened.use(watchClock({ alerts, clock }));
  const meter = meteredAlerts(metrics.meter, alerts, clock);
  log.countTo?.(meter);

  const folder = await openDataFolder(config.data);
  await assertDataUsable(folder, {
    hasRootKey: config.rootKey !== undefined,
    hasSealingKey: config.sealingKey !== undefined,
  });
  const store = opened.use(
    await openSqliteStore({
      ...{ path: folder.metadataPath, log, meter, clock, currentBudget },
      server: parts.serverName,
    }),
  );
  const dataEnvironment = await DataEnvironment.read({
    settings: store,
    configured: config.environment,
    log,
  });
  const guards = opened.use(
    new Guards({
      ...{ descriptors: config.descriptors, disk: config.disk, memory: config.memory },
      logFile: config.log.file,
      siblings,
      ...{ dataFolder: folder.path, log, meter, alerts },
    }),
  );
  const { endpoint } = config.tracing;
  const tracing =
    endpoint === undefined
      ? undefined
      : opened.use(
          await openTracing({
            ...{ config: { ...config.tracing, endpoint }, meter, instance: siblings.self },
            environment: dataEnvironment.label ?? about.environment,
          }),
        );
  const fenced = fencedStore(store, () => dataEnvironment.assertWritable(), guards.disks);
  const metadata = tracing === undefined ? fenced : tracedStore(fenced, tracing.tracer);
  const sealer = await openSealer(folder, metadata, config.sealingKey?.reveal());
  let isHung = (): boolean => false;
  opened.defer(() => {
    if (!isHung()) return;
    // What another server began to write there could be overwritten late.
    log.warn(
      {},
      "calls hang on a storage: the data folder stays locked until this process is gone",
    );
    store.keepLock();
  });
  const serverStorages = opened.use(
    await openStorages({
      root: folder.objectsPath,
      environment: parts.environment ?? {},
      mountCallsMax: await mountCallsMax(log),
      drainMsMax: config.drain,
      workMsMax: config.http.workMsMax,
      dataEnvironment,
      metadata,
      sealer,
      clock,
      log,
      meter,
      siblings,
      isShared: parts.serverName !== undefined,
      tracer: tracing?.tracer,
      traceparent: config.tracing.propagate ? tracing?.tracer.traceparent : undefined,
    }),
  );
  isHung = () => serverStorages.registry.isHung;
  const storages = await guards.guardStorages(serverStorages.registry);
  await dataEnvironment.settle();
  about.environment = dataEnvironment.label ?? null;
  if (dataEnvironment.labelForMarks !== undefined) {
    await serverStorages.registry.label(dataEnvironment.labelForMarks);
  }
  const isReadOnly = dataEnvironment.readOnly !== undefined;
  if (!isReadOnly) await alerts.remember(metadata);
  if (isReadOnly) meter.gauge("read_only", 1);

  const accessKeys = new AccessKeys({ metadata, sealer, clock, siblings });
  const rootKey = isReadOnly
    ? await readRootKeyOnly({ folder, metadata })
    : await ensureRootKey({ folder, metadata, accessKeys, given: config.rootKey });
  const installation = await ensureInstallation(metadata, { isReadOnly });
  // Nothing runs out on a server that is read-only: its clock need not be remembered.
  const steady = await SteadyClock.start({
    ...{ clock, siblings, log },
    settings: isReadOnly ? { ...metadata, putSetting: async () => {} } : metadata,
  });
  const refusals = opened.use(new Refusals({ metadata, clock, log, meter }));
  const ports = {
    metadata,
    storages,
    accessKeys,
    clock,
    steady,
    log,
    meter,
    alerts,
    installation,
    refusals,
  };
  const core = createCore(config, {
    ...ports,
    ...{ dataEnvironment, siblings },
    holder: parts.siblings && LeaseHolder.among(parts.siblings),
    signingKey: sealer.deriveKey(partSignaturePurpose),
  });
  const { uploads, resumable, multipart, direct, staged } = core;

  const inUse = new BlobsInUse({
    ...{ siblings, storages },
    isWriting: (blobKey) =>
      [uploads, resumable, multipart, staged].some((one) => one.isWriting(blobKey)),
    isReading: (blobKey) => core.objects.isReading(blobKey),
    oldestRunningAt: () =>
      earliest(...[uploads, multipart, staged].map((one) => one.oldestRunningAt())),
  });
  const sweeper = new Sweeper({
    ...{ metadata, storages, installation, inUse, clock, log, meter, alerts },
    ownedKeys: (storageId, blobKeys) => metadata.uploadsOwning(storageId, blobKeys),
    steadyNow: () => steady.now(),
    intervalMs: config.sweeper.interval,
    ageMsMin: config.sweeper.age,
    orphanShareMax: config.sweeper.orphanShareMax,
    orphansFree: config.sweeper.orphansFree,
  });
  // Beside others, nobody knows at the start what lies about and what is just being written.
  if (!isReadOnly && store.isAlone) await sweeper.sweep({ afterCrash: true });
  const upkeep = new UploadUpkeep({
    ...{ metadata, clock, steady, log },
    uploads: resumable,
    intervalMs: config.uploads.tidyInterval,
  });
  const { keep: keepMs } = config.audit;
  const auditUpkeep = new AuditUpkeep({ metadata, clock, steady, log, keepMs });
  const bulkDeletes = new BulkDeletes({
    ...{ metadata, buckets: core.buckets, environment: dataEnvironment, clock, log, siblings },
    ...{ blobGraceMs: config.blobGrace, ...config.bulkDelete },
    trashMsDefault: config.trash.keep || weekMs,
  });
  const newBucket = isReadOnly
    ? undefined
    : await ensureDemoBucket(metadata, core.buckets, rootKey);
  const led = new Led({
    ...{ siblings, log },
    start: () => {
      if (isReadOnly) return [];
      for (const task of [sweeper, upkeep, auditUpkeep]) task.start();
      guards.sweepWith(sweeper);
      return [sweeper, upkeep, auditUpkeep, bulkDeletes.lead()];
    },
  });
  opened.use(led);

  // Asked by requests until the last has ended.
  const sessions = opened.use(
    new Sessions({
      clock,
      log,
      msMax: config.parse.sessionMsMax ?? Math.min(sessionMsMaxDefault, config.http.workMsMax),
      cacheMs: config.parse.sessionCache,
    }),
  );
  const onRefusal: HttpOptions["onRefusal"] = (error, request) => {
    guards.disks.noteRefusal(error);
    if (isReadOnly) return;
    const refusal = refusalOf(error, request);
    if (refusal !== undefined) refusals.note(refusal);
  };
  const checkWorkers = workersCheck(siblings);
  const readiness = opened.use(
    new Readiness({
      clock,
      checks: () => [
        { name: "metadata", essential: true, check: () => metadata.probe() },
        environmentCheck(dataEnvironment),
        ...serverStorages.checks(),
        ...guards.checks(),
        ...checkWorkers,
      ],
    }),
  );
  const operations = createOperationsServer({
    readiness,
    metrics: new MergedMetrics({ metrics, siblings }),
  });
  // Before the listeners, so that it is closed after them: it says that they drain.
  opened.defer(() => operations.close());
  const ossKeys = opened.use(new OssKeys({ clock, log }));
  const overload = opened.use(
    new Overload({
      ...{ config: config.http.overload, log, meter, isControl },
      ...(parts.siblings === undefined ? {} : { siblings: parts.siblings }),
    }),
  );
  const http = createHttp({
    log,
    config: config.http,
    overload,
    renderError: (error, request) => rendererOf(request.raw.url)(error, request),
    notFound: (request, reply) => refuseRoute([], { request, reply }),
    onRefusal,
    environment: dataEnvironment.label,
    clock,
  });
  const s3Http =
    config.s3.port === undefined
      ? undefined
      : createHttp({
          log,
          config: config.http,
          overload,
          renderError: renderS3Error,
          onRefusal,
          environment: dataEnvironment.label,
          clock,
        });
  const listeners = s3Http === undefined ? [http] : [http, s3Http];
  const activity = new Activity(metrics.registry);
  for (const app of listeners) {
    const listener = app === http ? "main" : "s3";
    metrics.onCollect(meterHttp(app.server, { meter, clock, listener }));
    activity.watch(app);
    tracing?.attach(app);
    // Behind the traces, whose ids it names.
    const ownTraceId = (): string | undefined => tracing?.tracer.current()?.traceId;
    logRequests(app, { log, requests: config.log.requests, ownTraceId });
    guards.admitTo(app);
  }
  opened.defer(async () => {
    await Promise.all(listeners.map((app) => closeHttp(app, { drainMs: config.drain })));
  });
  // Long uploads end with what they have, instead of being cut at the end of the drain.
  opened.defer(() => resumable.close());
  opened.defer(() => multipart.close());
  opened.defer(() => direct.close());
  const services = {
    ...core,
    environment: dataEnvironment,
    bulkDeletes,
    storages: serverStorages.administration,
    accessKeys,
    clock,
    log,
  };
  const { publicUrl } = config;
  const located = publicUrl === undefined ? services : { ...services, publicUrl };
  const idempotency = new Idempotency({
    ...{ metadata, clock, log, siblings },
    keepMs: config.rest.idempotencyKeep,
    keysMax: config.rest.idempotencyKeysMax,
  });
  await http.register(restProtocol({ ...located, ossKeys, idempotency }), { prefix: "/v1" });
  await http.register(tusProtocol({ ...located, objectPath }), { prefix: "/tus" });
  const s3 = s3Protocol({
    ...located,
    region: config.s3.region,
    domains: config.s3.domains,
    hasOwnListener: s3Http !== undefined,
    signatureV2: config.s3.signatureV2,
    owner: s3Owner(installation),
  });
  await http.register(s3, { prefix: s3Path });
  await s3Http?.register(s3);
  const companion = companionProtocol({ ...located, region: config.s3.region, s3Path });
  await http.register(companion, { prefix: "/companion" });
  const parse = parseProtocol({
    ...located,
    applications: new Applications(config.parse, accessKeys),
    sessions,
    replays: new Replays(clock, siblings),
  });
  await http.register(parse, { prefix: parsePath });
  await http.register(consoleProtocol(consoleFolder), { prefix: "/console" });
  http.get("/", (_request, reply) => reply.redirect("/console/"));
  opened.defer(() => readiness.drain());
  readiness.start();

  // From here on other workers start, and find everything made.
  await store.share();
  const listen = listenBy(parts.connections);
  const opsHost = config.opsHost ?? config.host;
  const opsUrl = await listen(operations, "operations", { host: opsHost, port: config.opsPort });
  const url = await listen(http, "main", config);
  const s3Host = config.s3.host ?? config.host;
  const s3Url =
    s3Http === undefined
      ? undefined
      : await listen(s3Http, "s3", { host: s3Host, port: config.s3.port ?? 0 });
  await rootKey.remember(url);
  about.server = config.publicUrl ?? url;

  const all = opened.move();
  let closed: Promise<void> | undefined;
  const close = () => (closed ??= all.disposeAsync());
  return {
    url,
    opsUrl,
    ...(s3Url === undefined ? {} : { s3Url }),
    rootKey,
    ...(newBucket === undefined ? {} : { newBucket }),
    activity: () => activity.sample(),
    sayGoodbye: () => {
      for (const app of listeners) app.httpRuntime.phase = "draining";
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

function createCore(
  config: ServerConfig,
  ports: {
    readonly metadata: MetadataStore;
    readonly storages: Storages;
    readonly accessKeys: AccessKeys;
    readonly signingKey: Uint8Array;
    readonly clock: Clock;
    readonly steady: SteadyClock;
    readonly log: Log;
    readonly meter: Meter;
    readonly installation: string;
    readonly refusals: Refusals;
    readonly alerts: Alerts;
    readonly dataEnvironment: DataEnvironment;
    readonly siblings: Siblings;
    /** Of a worker; undefined: of a process that has the data for itself. */
    readonly holder: LeaseHolder | undefined;
  },
) {
  const trashMs = config.trash.keep === 0 ? null : config.trash.keep;
  const buckets = new Buckets({ ...ports, trashMs });
  const { maxObjectBytes, blobGrace } = config;
  const detector = typeDetector;
  const shared = { ...ports, buckets, detector, maxObjectBytes, blobGraceMs: blobGrace };
  const { productionDeletesPerHour } = config.trash;
  const objects = new Objects({
    ...shared,
    environment: ports.dataEnvironment.label ?? null,
    productionDeletesPerHour,
  });
  const { openMax, createsPerSecondMax } = config.uploads;
  const callbackUrl = config.publicUrl === undefined ? undefined : ossCallbackUrl(config.publicUrl);
  const bounded = { ...shared, openMax, createsPerSecondMax };
  // The data folder is this process's alone, its lock sees to that: so its name may stay the same.
  const holder = () => ports.holder ?? LeaseHolder.alone(ports.installation);
  const multipart = new Multipart({ ...bounded, objects });
  return {
    buckets,
    objects,
    trash: new Trash(shared),
    uploads: new Uploads(shared),
    resumable: new ResumableUploads({ ...bounded, buffers: sharedPartBuffers(), holder: holder() }),
    multipart,
    staged: new StagedUploads({ ...shared, ...config.parse }),
    audit: new Audit(ports),
    direct: new DirectUploads({
      ...bounded,
      objects,
      multipart,
      holder: holder(),
      ...(callbackUrl === undefined ? {} : { callbackUrl }),
    }),
  };
}

/** Made at the first start, and kept for as long as this metadata store is. */
async function ensureInstallation(
  metadata: MetadataStore,
  { isReadOnly }: { readonly isReadOnly: boolean },
): Promise<string> {
  const settingName = "installation";
  const kept = await metadata.getSetting(settingName);
  if (kept !== undefined) return kept;
  const made = newInstallation();
  if (!isReadOnly) await metadata.putSetting(settingName, made);
  return made;
}

/** At the first start only: who deletes it does not get it back. */
async function ensureDemoBucket(
  metadata: MetadataStore,
  buckets: Buckets,
  rootKey: RootKey,
): Promise<string | undefined> {
  const settingName = "demo-bucket";
  if ((await metadata.getSetting(settingName)) !== undefined) return undefined;
  try {
    await buckets.create(rootKey.actor, demoBucket, {});
  } catch (error) {
    if (!isOperationalError(error, "already_exists")) throw error;
  }
  await metadata.putSetting(settingName, "made");
  return demoBucket;
}

/** A read-only server goes on reading, so it stays ready, and the answer says what it does not do. */
function environmentCheck(environment: DataEnvironment): ReadinessCheck {
  const check = async (): Promise<void> => environment.assertWritable();
  return { name: "environment", essential: false, check };
}

/** Fewer than there should be hurt nothing but the speed. */
function workersCheck(siblings: Siblings): readonly ReadinessCheck[] {
  if (siblings.count === 1) return [];
  siblings.on("alive", () => true);
  const check = async (): Promise<void> => {
    const answers = await siblings.ask("alive", null, { msMax: 1_000 });
    const count = answers.length + 1;
    if (count < siblings.count) throw new Error(`${count} of ${siblings.count} workers answer`);
  };
  return [{ name: "workers", essential: false, check }];
}

function earliest(...instants: readonly (Date | undefined)[]): Date | undefined {
  return instants.reduce((one, other) =>
    one === undefined || (other && other < one) ? other : one,
  );
}

/** Whether a path is administration's, and not that of bytes. */
function isControl(target: string): boolean {
  const isBytes = target.startsWith("/v1/objects/") || target.startsWith("/v1/uploads");
  return (target.startsWith("/v1/") && !isBytes) || isUnder("/console", target);
}

/** For what goes wrong before a protocol has seen the request. */
function rendererOf(target: string | undefined) {
  if (isUnder(s3Path, target)) return renderS3Error;
  return isUnder(parsePath, target) ? renderParseError : renderRestError;
}

function isUnder(prefix: string, target = ""): boolean {
  return target === prefix || target.startsWith(`${prefix}/`) || target.startsWith(`${prefix}?`);
}

/** Stands for whoever runs this server: buckets have no other owner. */
function s3Owner(installation: string) {
  const id = createHash("sha256").update(`s3 owner ${installation}`).digest("hex");
  return { id, displayName: "roma" };
}

/** With sockets of its own, or with connections that somebody else accepts. Resolves with the URL. */
function listenBy(connections: ServerParts["connections"]) {
  return async (
    app: FastifyInstance,
    listener: string,
    { host, port }: { readonly host: string; readonly port: number },
  ): Promise<string> => {
    const given =
      connections === undefined
        ? await listenAlone(app, { host, port })
        : await app.ready().then(() => connections.listen(app.server, { listener, host, port }));
    return `http://${host.includes(":") ? `[${host}]` : host}:${given}`;
  };
}

async function listenAlone(
  app: FastifyInstance,
  at: { readonly host: string; readonly port: number },
): Promise<number> {
  await app.listen(at);
  const address = app.server.address();
  return typeof address === "object" && address !== null ? address.port : at.port;
}
