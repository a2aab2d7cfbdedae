/**
 * The one file that knows every module: configuration in, running server out. Opens from the inside
 * out (store, storages, core, sweeper, listeners) and closes in the opposite order, so that nothing is
 * ever used before it is there or after it is gone.
 */
import { consoleFolder } from "@roma/console";
import type { FastifyInstance } from "fastify";
import { typeDetector } from "./content-types/detect.ts";
import { AccessKeys } from "./core/access-keys.ts";
import { Buckets } from "./core/buckets.ts";
import { isOperationalError } from "./core/errors.ts";
import { newInstallation } from "./core/ids.ts";
import { Objects } from "./core/objects.ts";
import { type Clock, systemClock } from "./core/ports/clock.ts";
import type { Log } from "./core/ports/log.ts";
import type { MetadataStore } from "./core/ports/metadata-store.ts";
import type { Meter } from "./core/ports/meter.ts";
import type { Storages } from "./core/ports/storages.ts";
import { ResumableUploads, SteadyClock, UploadUpkeep } from "./core/resumable/index.ts";
import { Uploads } from "./core/uploads.ts";
import { closeHttp, createHttp } from "./http/index.ts";
import { openSqliteStore } from "./metadata/index.ts";
import { openDataFolder, openSealer } from "./operations/data-folder.ts";
import { createMetrics } from "./operations/metrics.ts";
import { createOperationsServer } from "./operations/operations-server.ts";
import { ensureRootKey, type RootKey } from "./operations/root-key.ts";
import { Sweeper } from "./operations/sweeper.ts";
import { consoleProtocol } from "./protocols/console/index.ts";
import { objectPath, refuseRoute, renderRestError, restProtocol } from "./protocols/rest/index.ts";
import { tusProtocol } from "./protocols/tus/index.ts";
import type { ServerConfig } from "./server-config.ts";
import { openStorages } from "./server-storages.ts";
import { sharedPartBuffers } from "./storage/index.ts";
import { mountCallsMax } from "./thread-pool.ts";

/** The bucket to try, made at the first start. */
const demoBucket = "demo";

export interface RunningServer extends AsyncDisposable {
  /** `http://HOST:PORT`, with the port that was given by the system if it was 0. */
  readonly url: string;
  readonly opsUrl: string;
  readonly rootKey: RootKey;
  /** Made at this start, to be tried. */
  readonly newBucket?: string;
  /** Stops accepting, lets requests end within `drain`, then closes all. Idempotent. */
  close(): Promise<void>;
}

export interface ServerParts {
  readonly log: Log;
  readonly clock?: Clock;
  /** The process's, for storages whose keys come from there; left out: they find none. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

/** Rejects, with everything closed again, when a part cannot be opened. */
export async function startServer(
  config: ServerConfig,
  parts: ServerParts,
): Promise<RunningServer> {
  const { log } = parts;
  const clock = parts.clock ?? systemClock;
  const { meter, registry } = createMetrics();
  await using opened = new AsyncDisposableStack();

  const folder = await openDataFolder(config.data);
  const metadata = opened.use(await openSqliteStore({ path: folder.metadataPath, log, meter }));
  const sealer = await openSealer(folder, metadata, config.sealingKey?.reveal());
  const serverStorages = opened.use(
    await openStorages({
      root: folder.objectsPath,
      environment: parts.environment ?? {},
      mountCallsMax: await mountCallsMax(log),
      drainMsMax: config.drain,
      metadata,
      sealer,
      clock,
      log,
      meter,
    }),
  );
  const storages = serverStorages.registry;

  const accessKeys = new AccessKeys({ metadata, sealer, clock });
  const rootKey = await ensureRootKey({ folder, metadata, accessKeys, given: config.rootKey });
  const installation = await ensureInstallation(metadata);
  const steady = await SteadyClock.start({ clock, settings: metadata });
  const core = createCore(config, { metadata, storages, clock, steady, log, meter, installation });
  const { uploads, resumable } = core;

  const sweeper = opened.use(
    new Sweeper({
      metadata,
      storages,
      installation,
      isWriting: (blobKey) => uploads.isWriting(blobKey) || resumable.isWriting(blobKey),
      ownedKeys: (storageId, blobKeys) => metadata.uploadsOwning(storageId, blobKeys),
      oldestRunningAt: () => uploads.oldestRunningAt(),
      clock,
      log,
      meter,
      intervalMs: config.sweeper.interval,
      ageMsMin: config.sweeper.age,
      orphanShareMax: config.sweeper.orphanShareMax,
      orphansFree: config.sweeper.orphansFree,
    }),
  );
  await sweeper.sweep({ afterCrash: true });
  sweeper.start();
  const upkeep = opened.use(
    new UploadUpkeep({
      uploads: resumable,
      metadata,
      steady,
      log,
      intervalMs: config.uploads.tidyInterval,
    }),
  );
  upkeep.start();
  const newBucket = await ensureDemoBucket(metadata, core.buckets, rootKey);

  const http = createHttp({
    log,
    config: config.http,
    renderError: renderRestError,
    notFound: (request, reply) => refuseRoute([], { request, reply }),
    clock,
  });
  opened.defer(() => closeHttp(http, { drainMs: config.drain }));
  // Long uploads end with what they have, instead of being cut at the end of the drain.
  opened.defer(() => resumable.close());
  const services = { ...core, storages: serverStorages.administration, accessKeys, clock, log };
  const { publicUrl } = config;
  const located = publicUrl === undefined ? services : { ...services, publicUrl };
  await http.register(restProtocol(located), { prefix: "/v1" });
  await http.register(tusProtocol({ ...located, objectPath }), { prefix: "/tus" });
  await http.register(consoleProtocol(consoleFolder), { prefix: "/console" });
  http.get("/", (_request, reply) => reply.redirect("/console/"));
  const store = { name: "metadata", essential: true, check: () => metadata.probe() };
  const checks = () => [store, ...serverStorages.checks()];
  const operations = createOperationsServer({ registry, checks });
  opened.defer(() => operations.close());

  const opsHost = config.opsHost ?? config.host;
  const opsUrl = await listen(operations, { host: opsHost, port: config.opsPort });
  const url = await listen(http, config);
  await rootKey.remember(url);

  const all = opened.move();
  let closed: Promise<void> | undefined;
  const close = () => (closed ??= all.disposeAsync());
  return {
    url,
    opsUrl,
    rootKey,
    ...(newBucket === undefined ? {} : { newBucket }),
    close,
    [Symbol.asyncDispose]: close,
  };
}

function createCore(
  config: ServerConfig,
  ports: {
    readonly metadata: MetadataStore;
    readonly storages: Storages;
    readonly clock: Clock;
    readonly steady: SteadyClock;
    readonly log: Log;
    readonly meter: Meter;
    readonly installation: string;
  },
) {
  const buckets = new Buckets(ports);
  const { maxObjectBytes, blobGrace } = config;
  const detector = typeDetector;
  const shared = { ...ports, buckets, detector, maxObjectBytes, blobGraceMs: blobGrace };
  return {
    buckets,
    objects: new Objects(shared),
    uploads: new Uploads(shared),
    resumable: new ResumableUploads({
      ...shared,
      buffers: sharedPartBuffers(),
      openMax: config.uploads.openMax,
      createsPerSecondMax: config.uploads.createsPerSecondMax,
    }),
  };
}

/** Made at the first start, and kept for as long as this metadata store is. */
async function ensureInstallation(metadata: MetadataStore): Promise<string> {
  const settingName = "installation";
  const kept = await metadata.getSetting(settingName);
  if (kept !== undefined) return kept;
  const made = newInstallation();
  await metadata.putSetting(settingName, made);
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

async function listen(
  app: FastifyInstance,
  at: { readonly host: string; readonly port: number },
): Promise<string> {
  await app.listen({ host: at.host, port: at.port });
  const address = app.server.address();
  const port = typeof address === "object" && address !== null ? address.port : at.port;
  return `http://${at.host.includes(":") ? `[${at.host}]` : at.host}:${port}`;
}
