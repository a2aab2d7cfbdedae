// From a record to a storage that may be used: settings checked, secrets unsealed, driver opened, mark
// compared, layers put around, canary survived. Whatever fails on the way closes what was opened.

import { isOperationalError, OperationalError } from "../../core/errors.ts";
import type { Log } from "../../core/ports/log.ts";
import type { StorageRecord } from "../../core/ports/metadata-store.ts";
import type { StorageDriver } from "../../core/ports/storage-driver.ts";
import type { Sealer } from "../../core/sealing.ts";
import {
  type CheckedSettings,
  merge,
  type OpenedDriver,
  type Settings,
  type StorageKind,
} from "./kinds.ts";
import { assertMarker, claimMarker } from "./marker.ts";
import { OpenStorage } from "./open-storage.ts";

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
    const { wrap, admit, attend, log, openMsMax = 20_000 } = this.#options;
    const signal = AbortSignal.timeout(openMsMax);
    const opened = await this.#openDriver(request, signal);
    const driver = wrap(opened.driver);
    try {
      const markerUuid = await markerOf(opened, driver, { request, signal });
      await admit(driver, { signal, mayWrite: request.mayWrite() });
      const attendant = attend?.(driver, { mayWrite: request.mayWrite });
      return { storage: new OpenStorage(driver, { log, attendant }), markerUuid };
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

async function markerOf(
  opened: OpenedDriver,
  driver: StorageDriver,
  { request, signal }: { readonly request: OpenAs; readonly signal: AbortSignal },
): Promise<string> {
  const { id, markerUuid } = request;
  if (opened.markerUuid !== undefined) {
    assertMarker(id, { uuid: opened.markerUuid, storageId: id }, markerUuid);
    return opened.markerUuid;
  }
  return claimMarker(
    driver,
    markerUuid === undefined ? { signal } : { signal, expected: markerUuid },
  );
}

function sealedName(id: string): string {
  return `storage:${id}`;
}

function tooSlow(storageId: string, openMsMax: number): OperationalError {
  return new OperationalError("unavailable", `did not open within ${openMsMax} ms`, {
    context: { storageId },
  });
}
