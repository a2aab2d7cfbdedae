/**
 * `roma doctor`: would a server start here, and serve? Looks at what is configured, at the files as the service's user, at
 * the machine's limits, room, time and ports, and tries the storages. Works beside a running server, which it asks, and
 * without one; it makes nothing, migrates nothing, and as root writes nothing either.
 */
import { existsSync } from "node:fs";
import { access, constants, stat } from "node:fs/promises";
import { availableParallelism, totalmem } from "node:os";
import { dirname, join, resolve } from "node:path";
import { request } from "undici";
import { ConfigError, processEnvironment } from "./config/index.ts";
import { DataEnvironment } from "./core/environment.ts";
import { isOperationalError } from "./core/errors.ts";
import { systemClock } from "./core/ports/clock.ts";
import { silentLog } from "./core/ports/log.ts";
import { silentMeter } from "./core/ports/meter.ts";
import { noSiblings } from "./core/ports/siblings.ts";
import { lookAtSchema, openSqliteStore } from "./metadata/index.ts";
import { openDataFolder, openSealer, readRootKey } from "./operations/data-folder.ts";
import { type Account, accountName, become, findAccount } from "./operations/doctor/accounts.ts";
import { checkClock } from "./operations/doctor/clock.ts";
import { type Finding, findings } from "./operations/doctor/finding.ts";
import { checkLimits } from "./operations/doctor/limits.ts";
import { checkPermissions } from "./operations/doctor/permissions.ts";
import { checkPlaces, type Place } from "./operations/doctor/places.ts";
import { checkPorts } from "./operations/doctor/ports.ts";
import { loadServerConfig } from "./serve.ts";
import { openStorages } from "./server-storages.ts";
import { ownMemoryGroup, planWorkers } from "./supervisor/index.ts";
import { mountCallsMax } from "./thread-pool.ts";

export type { Finding } from "./operations/doctor/finding.ts";

export interface DoctorOptions {
  /** As after `serve`. */
  readonly argv: readonly string[];
  /** The service's user, by name or number; by default this process's. As root, this process becomes it, for good. */
  readonly user?: string | undefined;
  readonly signal: AbortSignal;
}

type ServerConfig = ReturnType<typeof loadServerConfig>;

/** What is told of a storage. */
interface SeenStorage {
  readonly id: string;
  readonly root?: string;
  readonly endpoint?: string;
}

const answerMsMax = 5_000;
const storagesMsMax = 60_000;

/** All that was found, in order. Rejects only when the signal aborts. */
export async function runDoctor(options: DoctorOptions): Promise<readonly Finding[]> {
  const { argv, signal } = options;
  const user = userOf(options.user);
  if ("finding" in user) return [user.finding];
  let config: ServerConfig;
  try {
    config = loadServerConfig(argv);
  } catch (error) {
    return configurationFindings(error);
  }
  const { computedFor } = user;
  const running = await askRunning(config, signal);
  const found: Finding[] = [...configurationMistakes(config)];
  const seen: SeenStorage[] = [];
  if (running !== undefined) {
    found.push(...running.findings);
    seen.push(...running.storages);
  } else {
    found.push(...(await checkPorts(listenersOf(config))));
    found.push(...(await lookAtData(config, { computedFor, signal, seen })));
  }
  signal.throwIfAborted();
  const folders = seen.flatMap(({ root }) => (root === undefined ? [] : [root]));
  if (config.log.file !== undefined) folders.push(dirname(resolve(config.log.file)));
  found.push(...(await checkPermissions({ data: config.data, folders, computedFor })));
  found.push(
    ...checkLimits({
      connectionsMax: config.http.connectionsMax,
      ...plannedWorkers(config),
      threadPoolSize: processEnvironment().UV_THREADPOOL_SIZE,
    }),
  );
  found.push(...(await checkPlaces(placesOf(config, seen))));
  const origins = seen.flatMap(({ id, endpoint }) => {
    const origin = endpoint === undefined ? undefined : URL.parse(endpoint)?.origin;
    return origin === undefined ? [] : [{ name: id, origin }];
  });
  found.push(...(await checkClock({ data: config.data, origins, signal })));
  return found;
}

function userOf(
  wanted: string | undefined,
): { readonly computedFor: Account | undefined } | { readonly finding: Finding } {
  if (wanted === undefined) return { computedFor: undefined };
  const account = findAccount(wanted);
  if (account === undefined) {
    const { fail } = findings("permissions");
    return {
      finding: fail(`there is no user ${wanted} on this machine`, `useradd --system ${wanted}`),
    };
  }
  const own = process.getuid?.();
  if (own === account.uid) return { computedFor: undefined };
  if (own !== 0) return { computedFor: account };
  become(account);
  return { computedFor: undefined };
}

function configurationFindings(error: unknown): readonly Finding[] {
  const { fail } = findings("configuration");
  if (!(error instanceof ConfigError)) throw error;
  return error.problems.map(({ path, message }) =>
    fail(`${path}: ${message}`, "correct it; docs/configuration.md has every option"),
  );
}

/** What is legal, and seldom meant. */
function configurationMistakes(config: ServerConfig): readonly Finding[] {
  const { ok, warn } = findings("configuration");
  const found: Finding[] = [];
  const opsHost = config.opsHost ?? config.host;
  if (!isLocal(opsHost)) {
    found.push(
      warn(
        `health and metrics listen on ${opsHost}, for whoever reaches it`,
        "set opsHost to an address of the inside, or keep others out by a firewall",
      ),
    );
  }
  if (config.alerts.webhook === undefined && config.alerts.smtp === undefined) {
    found.push(
      warn(
        "nobody is told when something is wrong",
        "set alerts.webhook or alerts.smtp, or have Prometheus watch (deploy/prometheus)",
      ),
    );
  }
  if (config.http.keepAliveMs < 61_000 && !isLocal(config.host)) {
    found.push(
      warn(
        `http.keepAliveMs is shorter than what most proxies keep a connection for`,
        "set it above the proxy's own (nginx: 60 s), or requests meet connections that are being closed",
      ),
    );
  }
  if (config.trash.keep === 0) {
    found.push(warn("trash.keep is 0: what is deleted is gone at once", "set it to some days"));
  }
  return found.length === 0 ? [ok("the configuration is right")] : found;
}

function isLocal(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}

/** As a start would plan them, or why it would not. */
function plannedWorkers({ workers }: ServerConfig) {
  const { quotaBytes } = ownMemoryGroup();
  // Without a supervisor there is one process, and nothing is planned.
  if (workers === 0) return { workers: 1, quotaBytes };
  const machine = { cpus: availableParallelism(), memoryBytes: totalmem(), quotaBytes };
  try {
    return { workers: planWorkers(workers, machine).count, quotaBytes };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const count = workers === "auto" ? 1 : workers;
    return { workers: count, quotaBytes, memoryProblem: error.problems[0]?.message };
  }
}

function listenersOf(config: ServerConfig) {
  const { host, port, opsHost, opsPort, s3 } = config;
  return [
    { name: "main listener", host, port },
    { name: "operations listener", host: opsHost ?? host, port: opsPort },
    ...(s3.port === undefined
      ? []
      : [{ name: "S3 listener", host: s3.host ?? host, port: s3.port }]),
  ];
}

function placesOf(config: ServerConfig, seen: readonly SeenStorage[]): readonly Place[] {
  const data = resolve(config.data);
  const others = seen.flatMap(({ id, root }) =>
    root === undefined || root === join(data, "objects")
      ? []
      : [{ name: `storage ${id}`, path: root }],
  );
  const place = { name: "data", path: data, holdsMetadata: true };
  return existsSync(data) ? [place, ...others] : others;
}

interface Running {
  readonly findings: readonly Finding[];
  readonly storages: readonly SeenStorage[];
}

/** Undefined: none answers on the operations listener. */
async function askRunning(config: ServerConfig, signal: AbortSignal): Promise<Running | undefined> {
  if (config.opsPort === 0) return undefined;
  const host = config.opsHost ?? config.host;
  const reachable = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "[::1]" : host;
  const report = await askJson(`http://${reachable}:${config.opsPort}/readyz`, { signal });
  const checks: unknown = report?.checks;
  if (!Array.isArray(checks)) return undefined;
  const { ok, warn, fail } = findings("server");
  const results = checks.map(
    ({ name, ok: isOk, reason, essential }: Readonly<Record<string, unknown>>) => {
      if (isOk === true) return ok(`${name}: answers`);
      const advice = "docs/operations.md has what to do; roma storage test NAME tries a storage";
      return (essential === true ? fail : warn)(`${name}: ${reason}`, advice);
    },
  );
  const storages = await askStorages(config, signal);
  return { findings: [ok("a server runs here, and was asked"), ...results], storages };
}

/** With the root key of the data folder; without it, nothing is known of the storages. */
async function askStorages(
  config: ServerConfig,
  signal: AbortSignal,
): Promise<readonly SeenStorage[]> {
  try {
    const key = await readRootKey(await dataFolder(config.data));
    if (key === undefined) return [];
    const host = config.host === "0.0.0.0" ? "127.0.0.1" : config.host;
    const authorization = `Basic ${Buffer.from(`${key.id}:${key.secret}`).toString("base64")}`;
    const answer = await askJson(`http://${host}:${config.port}/v1/storages`, {
      signal,
      authorization,
    });
    const all: unknown = answer?.storages;
    return Array.isArray(all) ? all.flatMap(storageOf) : [];
  } catch {
    return [];
  }
}

function storageOf(value: Readonly<Record<string, unknown>>): readonly SeenStorage[] {
  const { id, root, endpoint, state } = value;
  if (typeof id !== "string" || state === "retired") return [];
  return [
    {
      id,
      ...(typeof root === "string" ? { root } : {}),
      ...(typeof endpoint === "string" ? { endpoint } : {}),
    },
  ];
}

async function askJson(
  url: string,
  { signal, authorization }: { readonly signal: AbortSignal; readonly authorization?: string },
): Promise<Readonly<Record<string, unknown>> | undefined> {
  try {
    const { body } = await request(url, {
      headers: authorization === undefined ? {} : { authorization },
      signal: AbortSignal.any([signal, AbortSignal.timeout(answerMsMax)]),
    });
    const value: unknown = await body.json();
    return typeof value === "object" && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}

/** Without making it. */
async function dataFolder(path: string) {
  if (!existsSync(path)) throw new Error("there is no data folder");
  return await openDataFolder(path);
}

/** What no server has open: the format, the keys, the environment, and each storage as at a start. */
async function lookAtData(
  config: ServerConfig,
  {
    computedFor,
    signal,
    seen,
  }: {
    readonly computedFor: Account | undefined;
    readonly signal: AbortSignal;
    readonly seen: SeenStorage[];
  },
): Promise<readonly Finding[]> {
  const { ok, warn, fail } = findings("data");
  const path = join(config.data, "metadata.sqlite");
  // What may not even be looked at is for the permissions to say.
  if (!existsSync(path) && existsSync(config.data) && !(await mayList(config.data))) return [];
  if (!existsSync(path))
    return [ok(`there is no data in ${config.data} yet: the first start makes it`)];
  if (computedFor !== undefined) {
    return [
      warn(
        "the data and the storages were not looked at",
        `run it as ${computedFor.name}, or as root with --user`,
      ),
    ];
  }
  const { uid } = await stat(path);
  if (process.getuid?.() === 0 && uid !== 0) {
    const owner = accountName(uid);
    return [
      warn(
        `this is root, and the data is ${owner}'s: it was not opened, for that would leave files of root there`,
        `say --user ${owner}`,
      ),
    ];
  }
  try {
    const { version, versionKnown } = lookAtSchema(path);
    if (version > versionKnown) {
      return [
        fail(
          `the data is of a newer Roma (schema ${version}, known up to ${versionKnown})`,
          "start it with that one",
        ),
      ];
    }
    if (version < versionKnown) {
      return [
        warn(
          `the data is of an older Roma (schema ${version} of ${versionKnown}): the next start migrates it, and there is no way back`,
          `copy ${config.data} first, while no server runs; after the start ask again, for the storages`,
        ),
      ];
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return [
      fail(
        `${path} cannot be read: ${reason}`,
        "see the permissions above; a damaged file comes back from a backup",
      ),
    ];
  }
  try {
    return [ok("the data is of this version"), ...(await tryStorages(config, { signal, seen }))];
  } catch (error) {
    if (signal.aborted) throw error;
    if (isOperationalError(error, "locked")) {
      const where = `port ${config.opsPort} of ${config.opsHost ?? config.host}`;
      return [
        warn(
          "a server uses the data, and does not answer on its operations listener",
          `give its opsPort: ${where} is not it, or it hangs`,
        ),
      ];
    }
    const reason = error instanceof Error ? error.message : String(error);
    return [
      fail(
        `the data cannot be opened: ${reason}`,
        "it stops the start as well; docs/operations.md",
      ),
    ];
  }
}

async function mayList(folder: string): Promise<boolean> {
  return await access(folder, constants.R_OK | constants.X_OK).then(
    () => true,
    () => false,
  );
}

async function tryStorages(
  config: ServerConfig,
  { signal, seen }: { readonly signal: AbortSignal; readonly seen: SeenStorage[] },
): Promise<readonly Finding[]> {
  const { ok, warn, fail } = findings("storages");
  const folder = await openDataFolder(config.data);
  await using store = await openSqliteStore({ path: folder.metadataPath, log: silentLog });
  const dataEnvironment = await DataEnvironment.read({
    settings: store,
    configured: config.environment,
    log: silentLog,
  });
  const sealer = await openSealer(folder, store, config.sealingKey?.reveal());
  await using storages = await openStorages({
    root: folder.objectsPath,
    environment: processEnvironment(),
    mountCallsMax: await mountCallsMax(silentLog),
    drainMsMax: 1_000,
    dataEnvironment,
    metadata: store,
    sealer,
    clock: systemClock,
    log: silentLog,
    meter: silentMeter,
    siblings: noSiblings(),
  });
  const found: Finding[] = [];
  if (dataEnvironment.readOnly !== undefined) {
    found.push(
      fail(`the server would be read-only: ${dataEnvironment.readOnly}`, "docs/environments.md"),
    );
  }
  const used = storages.registry.list().filter(({ state }) => state !== "retired");
  for (const storage of used) {
    seen.push(...storageOf({ ...storage.settings, id: storage.id, state: storage.state }));
    found.push(await tryStorage(storage));
  }
  return found;

  async function tryStorage({
    id,
    isOpen,
    problem,
    isDefault,
  }: (typeof used)[number]): Promise<Finding> {
    if (!isOpen || problem !== undefined) {
      const said = `storage ${id}: ${problem ?? "it does not open"}`;
      return fail(
        said,
        isDefault
          ? "new objects go there: correct its settings"
          : "correct its settings, or retire it",
      );
    }
    const bound = AbortSignal.any([signal, AbortSignal.timeout(storagesMsMax)]);
    try {
      const report = await storages.administration.test(id, { signal: bound });
      if (report.ok) return ok(`storage ${id}: everything that it can do works`);
      return fail(
        `storage ${id}: ${report.refusal}`,
        "roma storage test NAME, while the server runs, shows each step",
      );
    } catch (error) {
      signal.throwIfAborted();
      const reason = error instanceof Error ? error.message : String(error);
      return (isDefault ? fail : warn)(
        `storage ${id}: ${reason}`,
        "look whether it can be reached from here",
      );
    }
  }
}
