// The storages of a server, which come, change and go while uploads run.
//
// What is asked for on every request is an immutable snapshot (`current-storages.ts`). An operation takes
// a lease on one open storage of the snapshot it sees. A change opens what is new, writes the record
// down, publishes the next snapshot, and closes what is no longer in it once its leases have ended
// or `leaseMsMax` has passed; when the server stops, `drainMsMax`. Changes come one after the other.
//
// Other workers of the server have the same storages open (`elsewhere.ts`): one changes something at a time,
// and a change that is answered holds in all of them.
//
// An id never changes its meaning: each storage carries a mark, its uuid stands in the record, and
// settings that lead to another mark are refused, when they are given as when they are read again.

import { OperationalError } from "../../core/errors.ts";
import { serverAuthor } from "../../core/ports/author.ts";
import type { Author, StorageState } from "../../core/ports/metadata-store.ts";
import { type Meter, silentMeter } from "../../core/ports/meter.ts";
import { noSiblings, type Siblings } from "../../core/ports/siblings.ts";
import type { StorageDriver } from "../../core/ports/storage-driver.ts";
import type {
  StorageInfo,
  StorageLease,
  StorageReadiness,
  Storages,
  StorageUse,
} from "../../core/ports/storages.ts";
import type { ChangeOptions, Changing } from "./changes.ts";
import { ClosingStorages } from "./closing-storages.ts";
import { CurrentStorages } from "./current-storages.ts";
import { Elsewhere } from "./elsewhere.ts";
import type { Settings } from "./kinds.ts";
import { Opener, type OpenerOptions } from "./opener.ts";
import {
  type BuiltInStorage,
  changeSettings,
  entryOf,
  openBuiltIn,
  openNew,
  tryOpen,
} from "./openings.ts";
import { changeState, defaultSetting, forget, makeDefault, retire } from "./state-changes.ts";
import { allows, assertFollows } from "./states.ts";

export interface StorageRegistryOptions<Report> extends OpenerOptions, ChangeOptions {
  /** The first is the default until another is chosen. One that does not open stops the start. */
  readonly builtIn: readonly [BuiltInStorage, ...BuiltInStorage[]];
  /** The long canary. */
  readonly test: (
    driver: StorageDriver,
    options: { readonly signal: AbortSignal },
  ) => Promise<Report>;
  readonly meter?: Meter;
  /** For leases of a storage that was changed or retired to end before it is closed under them. */
  readonly leaseMsMax?: number;
  /** For leases to end when the server stops, and for any storage to close. */
  readonly drainMsMax?: number;
  /** Between attempts to open what did not open. */
  readonly retryMs?: number;
  readonly siblings?: Siblings;
}

export interface NewStorage {
  readonly id: string;
  readonly driver: string;
  readonly settings: Settings;
}

export interface StorageChanges {
  /** Those that change; `null` removes one. A secret that is left out, or redacted, stays. */
  readonly settings?: Settings;
  readonly state?: Exclude<StorageState, "retired">;
}

const leaseMsDefault = 3_600_000;
const drainMsDefault = 30_000;
const retryMsDefault = 30_000;
/** Whom a change is put down to that nobody asked for. */
const ofServer: Author = serverAuthor("storages");
const idPattern = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

export class StorageRegistry<Report = unknown> implements Storages, AsyncDisposable {
  readonly #options: StorageRegistryOptions<Report>;
  readonly #drainMsMax: number;
  readonly #current: CurrentStorages;
  readonly #closing: ClosingStorages;
  readonly #changing: Changing;
  readonly #elsewhere: Elsewhere;
  #changes: Promise<unknown> = Promise.resolve();
  #isChanging = false;
  #timer: NodeJS.Timeout | undefined;

  private constructor(options: StorageRegistryOptions<Report>) {
    const { leaseMsMax = leaseMsDefault, drainMsMax = drainMsDefault } = options;
    const builtIn = new Set(options.builtIn.map(({ id }) => id));
    this.#options = options;
    this.#drainMsMax = drainMsMax;
    this.#closing = new ClosingStorages({ leaseMsMax, drainMsMax });
    this.#current = new CurrentStorages({
      defaultId: options.builtIn[0].id,
      builtIn,
      closing: this.#closing,
      meter: options.meter ?? silentMeter,
    });
    // Before the records are read: what is changed from here on is told.
    this.#elsewhere = new Elsewhere({
      siblings: options.siblings ?? noSiblings(),
      reload: async () => {
        await this.reload();
        this.#current.release();
      },
      hold: (id, ms) => this.#current.hold(id, ms),
      isChanging: () => this.#isChanging,
      running: (id) => [this.#current.uploadsRunning(id), this.#current.othersRunning(id)],
    });
    this.#changing = {
      current: this.#current,
      elsewhere: this.#elsewhere,
      closing: this.#closing,
      opener: new Opener(options),
      builtIn,
      options,
    };
  }

  /**
   * Opens all that are not retired. One that does not open does not stop the others: it is
   * `unavailable`, says why, and is tried again.
   */
  static async open<Report>(
    options: StorageRegistryOptions<Report>,
  ): Promise<StorageRegistry<Report>> {
    const registry = new StorageRegistry(options);
    try {
      for (const builtIn of options.builtIn) await openBuiltIn(registry.#changing, builtIn);
      await registry.reload();
    } catch (error) {
      await registry[Symbol.asyncDispose]();
      throw error;
    }
    registry.#retryLater();
    return registry;
  }

  get defaultId(): string {
    return this.#current.defaultId;
  }

  ids(): readonly string[] {
    const readable = this.#current.entries().filter(({ record }) => allows(record.state, "read"));
    return readable.map(({ record }) => record.id);
  }

  lease(id: string, use: StorageUse): StorageLease {
    return this.#current.require(id, use).lease(use);
  }

  get(id: string): StorageDriver {
    return this.#current.require(id, "read").driver;
  }

  readiness(id: string): StorageReadiness {
    return this.#current.readiness(id);
  }

  /** In order of ids, retired ones too. */
  list(): readonly StorageInfo[] {
    const infos = this.#current.entries().map((entry) => this.#current.info(entry));
    return infos.toSorted((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** `storage_not_found`; a retired one is found. */
  describe(id: string): StorageInfo {
    return this.#current.info(this.#current.known(id));
  }

  /**
   * Opens it, lets the canary try it, and takes it in as `active`. `already_exists`,
   * `invalid_request` for its settings, and what the canary found.
   */
  add({ id, driver, settings }: NewStorage, author = ofServer): Promise<StorageInfo> {
    return this.#change(async () => {
      if (!idPattern.test(id)) {
        const message = "id is not 1 to 63 lower-case letters, digits and inner hyphens";
        throw new OperationalError("invalid_request", message, { context: { field: "id" } });
      }
      const known = this.#current.find(id);
      if (known !== undefined) {
        const hint = known.record.state === "retired" ? " and is retired" : "";
        const message = `the storage ${id} exists${hint}`;
        throw new OperationalError("already_exists", message, { context: { storageId: id } });
      }
      const storage = { id, driver, settings };
      return this.#current.info(await openNew(this.#changing, storage, author));
    });
  }

  /**
   * New settings are opened and tried first; what runs on the old ones goes on. `unsupported` for the
   * settings of a built-in storage, `unavailable` if they lead to another storage.
   */
  change(id: string, { settings, state }: StorageChanges, author = ofServer): Promise<StorageInfo> {
    return this.#change(async () => {
      let entry = this.#current.entry(id);
      if (state !== undefined) assertFollows(id, entry.record.state, state);
      if (settings !== undefined) {
        entry = await changeSettings(this.#changing, entry, settings, author);
      }
      if (state !== undefined) {
        entry = await changeState(this.#changing, entry, { state, author });
      }
      return this.#current.info(entry);
    });
  }

  /**
   * No new uploads from now on. Waits for those that run, `waitMsMax` at most; `uploadsRunning` of the
   * answer says how many are left.
   */
  async drain(id: string, options: { readonly waitMsMax?: number } = {}): Promise<StorageInfo> {
    const { record } = this.#current.entry(id);
    if (allows(record.state, "create")) await this.change(id, { state: "draining" });
    await this.#current.uploadsEnded(id, options.waitMsMax ?? this.#drainMsMax);
    return this.describe(id);
  }

  /**
   * Takes a drained storage out for good. `precondition_failed` if it is active, the default, or named
   * by a bucket's placement; `locked` while uploads run; `not_empty`, with the count, while it holds
   * blobs. Its own small blobs are removed, its mark stays.
   */
  retire(id: string, author = ofServer): Promise<StorageInfo> {
    const tidyMsMax = this.#drainMsMax;
    return this.#change(async () =>
      this.#current.info(await retire(this.#changing, id, { tidyMsMax, author })),
    );
  }

  /** Forgets a retired storage, so that its id may be given again. */
  forget(id: string, author = ofServer): Promise<void> {
    return this.#change(() => forget(this.#changing, id, author));
  }

  /** The long canary on the storage as it is open now. */
  async test(id: string, options: { readonly signal: AbortSignal }): Promise<Report> {
    using lease = this.lease(id, "read");
    return await this.#options.test(lease.driver, options);
  }

  /** Where bytes go when a bucket's placement does not say. `precondition_failed` unless active. */
  makeDefault(id: string, author = ofServer): Promise<StorageInfo> {
    return this.#change(async () =>
      this.#current.info(await makeDefault(this.#changing, id, author)),
    );
  }

  /** With what runs on them in the other workers. */
  everywhere(infos: readonly StorageInfo[]): Promise<readonly StorageInfo[]> {
    return this.#elsewhere.added(infos);
  }

  /** Reads the records again, and opens, changes and closes what another process changed. */
  reload(): Promise<void> {
    return this.#alone(async () => {
      const { metadata } = this.#options;
      const records = await metadata.listStorages();
      const entries = await Promise.all(records.map((record) => entryOf(this.#changing, record)));
      const defaultId = (await metadata.getSetting(defaultSetting)) ?? this.defaultId;
      this.#current.replace({
        entries: new Map(entries.map((entry) => [entry.record.id, entry])),
        defaultId,
      });
    });
  }

  /**
   * Writes the environment into the mark of every storage that is open, whatever it says. Answers those whose
   * marks could not be reached.
   */
  async label(environment: string): Promise<readonly string[]> {
    const readable = this.#current.entries().filter(({ record }) => allows(record.state, "read"));
    const tried = readable.map(async ({ record, open }) => {
      try {
        if (open === undefined) return [record.id];
        await open.label(environment);
        return [];
      } catch (error) {
        const fields = { err: error, storageId: record.id, environment };
        this.#options.log.warn(fields, "the mark of a storage did not take its environment");
        return [record.id];
      }
    });
    return (await Promise.all(tried)).flat();
  }

  /** Whether calls hang on storages that were closed: what they do may still come to pass. */
  get isHung(): boolean {
    return this.#closing.isHung;
  }

  /** Refuses new leases, and closes all storages within their bounds. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#current.stop();
    clearTimeout(this.#timer);
    await this.#changes;
    this.#current.replace({ entries: new Map() });
    await this.#closing.drain();
  }

  #retryLater(): void {
    if (this.#current.stopped) return;
    this.#timer = setTimeout(async () => {
      await this.#alone(() => this.#reopen()).catch((error: unknown) => {
        this.#options.log.error({ err: error }, "opening storages again failed");
      });
      this.#retryLater();
    }, this.#options.retryMs ?? retryMsDefault);
    this.#timer.unref();
  }

  /** Tries again what did not open. */
  async #reopen(): Promise<void> {
    for (const entry of this.#current.entries()) {
      if (entry.problem === undefined || !allows(entry.record.state, "read")) continue;
      this.#current.publish(await tryOpen(this.#changing, entry.record, entry));
    }
  }

  /** In one worker at a time; resolves when the change holds in all of them. */
  #change<T>(run: () => Promise<T>): Promise<T> {
    return this.#alone(async () => {
      this.#isChanging = true;
      try {
        await this.#elsewhere.begin();
        const result = await run().catch(async (error: unknown) => {
          // Whatever was written down, or held.
          await this.#elsewhere.published().catch(() => undefined);
          throw error;
        });
        await this.#elsewhere.published();
        return result;
      } finally {
        this.#isChanging = false;
      }
    });
  }

  /** One change at a time. */
  #alone<T>(run: () => Promise<T>): Promise<T> {
    const running = this.#changes.then(() => {
      this.#current.assertRunning();
      return run();
    });
    this.#changes = running.catch(() => undefined);
    return running;
  }
}
