// From a record to a storage that may be used: settings checked, secrets unsealed, driver opened, mark
// compared, layers put around, canary survived. Whatever fails on the way closes what was opened.

import { isOperationalError, OperationalError } from "../../core/errors.ts";
import type { Log } from "../../core/ports/log.ts";
import type { StorageRecord } from "../../core/ports/metadata-store.ts";
import type { StorageDriver } from "../../core/ports/storage-driver.ts";
import type { Sealer } from "../../core/sealing.ts";
import type { StorageMark } from "../marker.ts";
import {
  type CheckedSettings,
  merge,
  type OpenedDriver,
  type Settings,
  type StorageKind,
} from "./kinds.ts";
import { assertMarker, claimMarker } from "./marker.ts";
import { OpenStorage } from "./open-storage.ts";

/** What the environments that marks say are compared with: `core/environment.ts`. */
export interface MarkJudge {
  /** May refuse the storage with `environment_mismatch`. */
  admitMark(storageId: string, environment: string | undefined): void;
  /** Of any storage. */
  mayWrite(): boolean;
  /** For marks that say nothing; undefined: they are left as they are. */
  readonly labelForMarks: string | undefined;
}

export interface OpenerOptions {
  readonly sealer: Sealer;
  /** By the name of the driver. */
  readonly kinds: ReadonlyMap<string, StorageKind>;
  /** Puts the layers around a driver. */
  readonly wrap: (driver: StorageDriver) => StorageDriver;
  /** The short canary: rejects, and says why, if the storage is not what its settings say. */
  readonly admit: (
    driver: StorageDriver,
    options: { readonly signal: AbortSignal; readonly mayWrite: boolean },
  ) => Promise<void>;
  /** Begins what watches an open storage, until it is closed. */
  readonly attend?: (
    driver: StorageDriver,
    options: { readonly mayWrite: () => boolean },
  ) => AsyncDisposable;
  /** Left out: marks may say what they like. */
  readonly environment?: MarkJudge;
  readonly log: Log;
  /** For one storage to open, its canary included. */
  readonly openMsMax?: number;
}

export interface OpenAs {
  readonly id: string;
  readonly settings: CheckedSettings;
  /** Absent: a storage that is new to us. */
  readonly markerUuid?: string;
  readonly mayWrite: () => boolean;
}

export class Opener {
  readonly #options: OpenerOptions;

  constructor(options: OpenerOptions) {
    this.#options = options;
  }

  /** `invalid_request` if the driver is unknown or a setting is wrong. */
  check(driver: string, settings: Settings): CheckedSettings {
    const { kinds } = this.#options;
    const kind = kinds.get(driver);
    if (kind !== undefined) return kind.check(settings);
    const known = [...kinds.keys()].toSorted().join(", ");
    const message = `driver "${driver.toWellFormed().slice(0, 64)}" is none of ${known}`;
    throw new OperationalError("invalid_request", message, { context: { field: "driver" } });
  }

  /** All settings of a record, the secret ones too. */
  settingsOf(record: StorageRecord): Settings {
    const { settings, sealedSecrets, id } = record;
    if (sealedSecrets === null) return settings;
    // Text that was sealed here, and that nothing else can seal.
    const secret: Settings = JSON.parse(this.#options.sealer.open(sealedSecrets, sealedName(id)));
    return merge(settings, secret);
  }

  /** The columns of a record that hold the settings. */
  columnsOf(
    id: string,
    { open, secret }: CheckedSettings,
  ): Pick<StorageRecord, "settings" | "sealedSecrets"> {
    if (Object.keys(secret).length === 0) return { settings: open, sealedSecrets: null };
    const sealed = this.#options.sealer.seal(JSON.stringify(secret), sealedName(id));
    return { settings: open, sealedSecrets: sealed };
  }

  async open(
    request: OpenAs,
  ): Promise<{ readonly storage: OpenStorage; readonly markerUuid: string }> {
    const { wrap, admit, attend, environment, log, openMsMax = 20_000 } = this.#options;
    const signal = AbortSignal.timeout(openMsMax);
    const opened = await this.#openDriver(request, signal);
    const driver = wrap(opened.driver);
    try {
      const found = await markOf(opened, driver, { request, signal });
      environment?.admitMark(request.id, found.environment);
      const mayWrite = () => request.mayWrite() && environment?.mayWrite() !== false;
      await admit(driver, { signal, mayWrite: mayWrite() });
      const mark = mayWrite() ? await labelled(found, environment?.labelForMarks) : found;
      const attendant = attend?.(driver, { mayWrite });
      return { storage: new OpenStorage(driver, { log, mark, attendant }), markerUuid: mark.uuid };
    } catch (error) {
      const closing = Promise.resolve(driver[Symbol.asyncDispose]());
      closing.catch((cause: unknown) => log.warn({ err: cause }, "a storage did not close well"));
      if (signal.aborted && !isOperationalError(error)) throw tooSlow(request.id, openMsMax);
      throw error;
    }
  }

  /** A mount that hangs must not hold up the others: who comes too late is closed again. */
  #openDriver({ id, settings, markerUuid }: OpenAs, signal: AbortSignal): Promise<OpenedDriver> {
    const { openMsMax = 20_000 } = this.#options;
    const { promise, resolve, reject } = Promise.withResolvers<OpenedDriver>();
    const late = (): void => reject(tooSlow(id, openMsMax));
    signal.addEventListener("abort", late, { once: true });
    const opening = settings.openDriver(markerUuid === undefined ? { id } : { id, markerUuid });
    opening.then((opened) => {
      signal.removeEventListener("abort", late);
      if (signal.aborted) Promise.resolve(opened.driver[Symbol.asyncDispose]()).catch(() => {});
      else resolve(opened);
    }, reject);
    return promise;
  }
}

async function markOf(
  { mark }: OpenedDriver,
  driver: StorageDriver,
  { request, signal }: { readonly request: OpenAs; readonly signal: AbortSignal },
): Promise<StorageMark> {
  const { id, markerUuid } = request;
  if (mark !== undefined) {
    assertMarker(id, mark, markerUuid);
    return mark;
  }
  return claimMarker(
    driver,
    markerUuid === undefined ? { signal } : { signal, expected: markerUuid },
  );
}

async function labelled(mark: StorageMark, environment: string | undefined): Promise<StorageMark> {
  if (environment === undefined || mark.environment === environment) return mark;
  await mark.label(environment);
  return { ...mark, environment };
}

function sealedName(id: string): string {
  return `storage:${id}`;
}

function tooSlow(storageId: string, openMsMax: number): OperationalError {
  return new OperationalError("unavailable", `did not open within ${openMsMax} ms`, {
    context: { storageId },
  });
}
