/**
 * The storages of a running server: the registry with all that it asks for, and what administrators
 * see of it. The local storage is built in; every other one is a record in the metadata store.
 */
import { resolve } from "node:path";
import { type ErrorCode, isOperationalError, OperationalError } from "./core/errors.ts";
import type { Clock } from "./core/ports/clock.ts";
import type { Log } from "./core/ports/log.ts";
import type { MetadataStore } from "./core/ports/metadata-store.ts";
import type { Meter } from "./core/ports/meter.ts";
import type { Siblings } from "./core/ports/siblings.ts";
import type { Tracer } from "./core/ports/tracer.ts";
import type { Sealer } from "./core/sealing.ts";
import { storageCorsOf } from "./core/storage-cors.ts";
import type { ReadinessCheck } from "./operations/readiness.ts";
import {
  type CanaryReport,
  ColdProbe,
  canaryMarkdown,
  diagnose,
  isOfWorkers,
  type MarkJudge,
  runCanary,
  type Settings,
  type StorageInfo,
  StorageRegistry,
  storageKinds,
  withLayers,
} from "./storage/index.ts";

/** The id of the local storage; it stands on every row and never changes. */
export const localStorageId = "local";

/** The uuid of the local storage's mark, of data folders from before there were records of storages. */
const markerSetting = `storage.${localStorageId}.uuid`;

const probeMsMax = 2_000;

/** Without an answer, or without progress of a body, a call of a storage is given up. */
const callMsMax = 30_000;

export interface ServerStorages extends AsyncDisposable {
  readonly registry: StorageRegistry<CanaryReport>;
  readonly administration: Administration;
  /** One for each storage that is not retired. */
  checks(): readonly ReadinessCheck[];
}

type Administration = Pick<
  StorageRegistry,
  "list" | "everywhere" | "describe" | "add" | "change" | "makeDefault" | "retire" | "forget"
> & {
  test(
    id: string,
    options: { readonly signal: AbortSignal },
  ): Promise<CanaryReport & { readonly markdown: string }>;
} & ReturnType<typeof storageCorsOf>;

export interface ServerStoragesOptions {
  /** The folder of the local storage. */
  readonly root: string;
  readonly metadata: MetadataStore;
  readonly sealer: Sealer;
  /** Where storages find keys that are not among their settings. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** File system calls at once on one mount. */
  readonly mountCallsMax: number;
  readonly drainMsMax: number;
  /** For the work of a request: no call of a storage outlives it. Left out: nothing asks but the server. */
  readonly workMsMax?: number;
  /** What the environments that marks of storages say are judged by. */
  readonly dataEnvironment: MarkJudge;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly siblings: Siblings;
  /** Other workers may have them open, now or later. */
  readonly isShared?: boolean;
  readonly tracer?: Tracer | undefined;
  /** Header for the requests to storages of the S3 family; left out: none is sent. */
  readonly traceparent?: (() => string | undefined) | undefined;
}

/** Rejects if the local storage does not open: a folder that is gone or not mounted stops the start. */
export async function openStorages(options: ServerStoragesOptions): Promise<ServerStorages> {
  const { metadata, sealer, environment, mountCallsMax, clock, log, meter, drainMsMax } = options;
  const { tracer, traceparent } = options;
  const callMs = Math.min(callMsMax, options.workMsMax ?? callMsMax);
  const timeout = { answerMs: callMs, progressMs: callMs };
  const markerUuid = await metadata.getSetting(markerSetting);
  const judged = new Set<string>();
  const registry = await StorageRegistry.open<CanaryReport>({
    metadata,
    sealer,
    kinds: storageKinds({
      ...{ clock, environment, mountCallsMax, traceparent },
      isShared: options.isShared === true,
    }),
    builtIn: [
      {
        id: localStorageId,
        driver: "posix",
        settings: { root: resolve(options.root) },
        ...(markerUuid === undefined ? {} : { markerUuid }),
      },
    ],
    wrap: (driver) => withLayers(driver, { clock, log, meter, timeout, tracer }),
    admit: async (driver, { signal, mayWrite }) => {
      const report = await runCanary(driver, { form: "short", signal, mayWrite, clock });
      if (report.ok) return;
      const { refusal = "" } = report;
      const fields = { storageId: driver.id };
      if (judged.has(driver.id) || !onlyWriteFailed(report)) {
        throw new OperationalError("unavailable", refusal, { retryable: false, context: fields });
      }
      log.warn(fields, `storage ${driver.id} is read, and takes no writes: ${refusal}`);
    },
    attend: (driver, { mayWrite }) => {
      const probe = new ColdProbe(driver, { mayWrite, clock, log, meter });
      probe.start();
      return probe;
    },
    environment: options.dataEnvironment,
    test: (driver, { signal }) => runCanary(driver, { form: "long", signal, clock }),
    explain: reasonOf,
    drainMsMax,
    siblings: options.siblings,
    clock,
    log,
    meter,
  });
  return {
    registry,
    administration: administrationOf(registry, judged),
    checks: () => registry.list().flatMap((storage) => checksOf(registry, storage)),
    [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose](),
  };
}

/**
 * At the start, a storage that is full or mounted read-only is read as before, and objects in it are
 * deleted to make room. Only bytes that came back wrong, or not at all, shut it out.
 */
function onlyWriteFailed({ steps }: CanaryReport): boolean {
  const failed = steps.filter(({ outcome }) => outcome === "failed");
  return failed.length === 1 && failed[0]?.name === "write";
}

/** Ids that are being added or changed are `judged`: what does not take writes is refused. */
function administrationOf(
  registry: StorageRegistry<CanaryReport>,
  judged: Set<string>,
): Administration {
  const opening = async <T>(id: string, open: () => Promise<T>): Promise<T> => {
    judged.add(id);
    try {
      return await open();
    } catch (error) {
      throw explained(id, error);
    } finally {
      judged.delete(id);
    }
  };
  return {
    list: () => registry.list(),
    everywhere: (infos) => registry.everywhere(infos),
    describe: (id) => registry.describe(id),
    add: (storage, author) => opening(storage.id, () => registry.add(storage, author)),
    change: (id, changes, author) => opening(id, () => registry.change(id, changes, author)),
    makeDefault: (id, author) => registry.makeDefault(id, author),
    retire: (id, author) => registry.retire(id, author),
    forget: (id, author) => registry.forget(id, author),
    ...storageCorsOf(registry),
    test: async (id, options) => {
      const report = await registry.test(id, options);
      return { ...report, markdown: canaryMarkdown(report, aboutOf(registry.describe(id))) };
    },
  };
}

/** What the registry refuses by itself. */
const ownRefusals: ReadonlySet<ErrorCode> = new Set([
  "invalid_request",
  "already_exists",
  "precondition_failed",
  "locked",
  "unsupported",
  "environment_mismatch",
  "read_only",
  "storage_not_found",
  "internal",
]);

/** `unavailable`, and not to be tried again, with the setting and the reason. */
function explained(storageId: string, error: unknown): unknown {
  if (isDefect(error) || isOwnRefusal(error)) return error;
  const message = `storage ${storageId} is refused: ${reasonOf(error)}`;
  const context = { ...(isOperationalError(error) ? error.context : {}), storageId };
  return new OperationalError("unavailable", message, { retryable: false, context, cause: error });
}

/** The setting to look at, and what is wrong with it; for operators, and without a path. */
function reasonOf(error: unknown): string {
  if (isSystemError(error)) return `its place cannot be used: ${error.code}`;
  if (isOwnRefusal(error) || isFinding(error)) return error.message;
  const { setting, reason } = diagnose(error);
  return setting === undefined ? reason : `${setting}: ${reason}`;
}

function isDefect(error: unknown): boolean {
  return !isOperationalError(error) && !isSystemError(error);
}

function isOwnRefusal(error: unknown): error is OperationalError {
  if (!isOperationalError(error) || isAnswer(error)) return false;
  return ownRefusals.has(error.code) || isOfWorkers(error);
}

/** Canary and mark say by themselves what is wrong. */
function isFinding(error: unknown): error is OperationalError {
  return isOperationalError(error, "unavailable") && !error.retryable && !isAnswer(error);
}

/** Whether a storage, or the way to it, answered so. */
function isAnswer({ context }: OperationalError): boolean {
  return context.vendorCode !== undefined || context.connection !== undefined;
}

/** Its own message names a path of the server. */
function isSystemError(error: unknown): error is Error & { readonly code: string } {
  return (
    error instanceof Error &&
    "syscall" in error &&
    "code" in error &&
    typeof error.code === "string"
  );
}

/** What may be pasted in public: no address, no name of a bucket or folder. */
const publicSettings = ["vendor", "region", "addressStyle", "signature", "partBytes"];

function aboutOf({ driver, settings }: StorageInfo): Readonly<Record<string, string>> {
  const facts = publicSettings.flatMap((name) => factOf(settings, name));
  return { driver, ...Object.fromEntries(facts), node: process.version };
}

function factOf(settings: Settings, name: string): readonly (readonly [string, string])[] {
  const value = settings[name];
  return typeof value === "string" || typeof value === "number" ? [[name, String(value)]] : [];
}

function checksOf(
  registry: StorageRegistry<CanaryReport>,
  { id, state, isDefault, isOpen, problem }: StorageInfo,
): readonly ReadinessCheck[] {
  if (state === "retired") return [];
  const check = async (): Promise<void> => {
    if (!isOpen) throw new OperationalError("unavailable", problem ?? "it is not open");
    const signal = AbortSignal.timeout(probeMsMax);
    await registry.get(id).probe({ signal });
    if (problem !== undefined) throw new OperationalError("unavailable", problem);
  };
  return [{ name: `storage ${id}`, essential: isDefault, check }];
}
