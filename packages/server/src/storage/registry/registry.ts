// The storages of a server, which come, change and go while uploads run.
//
// What is asked for on every request is an immutable snapshot: a map that is replaced whole and never
// edited. An operation takes a lease on one open storage of the snapshot it sees. A change opens what
// is new, writes the record down, publishes the next snapshot, and closes what is no longer in it once
// its leases have ended or `drainMsMax` has passed. Changes come one after the other.
//
// An id never changes its meaning: each storage carries a mark, its uuid stands in the record, and
// settings that lead to another mark are refused, when they are given as when they are read again.

import { OperationalError } from "../../core/errors.ts";
import type { Clock } from "../../core/ports/clock.ts";
import type { Log } from "../../core/ports/log.ts";
import type {
  MetadataStore,
  StorageRecord,
  StorageState,
} from "../../core/ports/metadata-store.ts";
import { type Meter, silentMeter } from "../../core/ports/meter.ts";
import type { StorageDriver } from "../../core/ports/storage-driver.ts";
import type {
  StorageLease,
  StorageReadiness,
  Storages,
  StorageUse,
} from "../../core/ports/storages.ts";
import { type Entry, infoOf, type StorageInfo } from "./info.ts";
import { merge, type Settings, withoutRedacted } from "./kinds.ts";
import { markerKey } from "./marker.ts";
import type { OpenStorage } from "./open-storage.ts";
import { Opener, type OpenerOptions } from "./opener.ts";
import { allows, assertFollows } from "./states.ts";

/** One that the server's own configuration describes, anew at each start; its record keeps its state. */
export interface BuiltInStorage {
  readonly id: string;
  readonly driver: string;
  readonly settings: Settings;
  /** As it was written down before there were records. */
  readonly markerUuid?: string;
}

export interface StorageRegistryOptions<Report> extends OpenerOptions {
  readonly metadata: Pick<
    MetadataStore,
    | "listStorages"
    | "putStorage"
    | "deleteStorage"
    | "countBlobsOfStorage"
    | "listBuckets"
    | "getSetting"
    | "putSetting"
  >;
  /** The first is the default until another is chosen. One that does not open stops the start. */
  readonly builtIn: readonly [BuiltInStorage, ...BuiltInStorage[]];
  /** The long canary. */
  readonly test: (
    driver: StorageDriver,
    options: { readonly signal: AbortSignal },
  ) => Promise<Report>;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter?: Meter;
  /** For leases to end before a storage is closed under them. */
  readonly drainMsMax?: number;
  /** Between attempts to open what did not open. */
  readonly retryMs?: number;
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

interface Snapshot {
  readonly entries: ReadonlyMap<string, Entry>;
  readonly defaultId: string;
}

const defaultSetting = "storages.default";
const idPattern = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const ownPrefix = "roma/";

export class StorageRegistry<Report = unknown> implements Storages, AsyncDisposable {
  readonly #options: StorageRegistryOptions<Report>;
  readonly #opener: Opener;
  readonly #builtIn: ReadonlySet<string>;
  readonly #meter: Meter;
  readonly #drainMsMax: number;
  readonly #closing = new Set<Promise<void>>();
  #snapshot: Snapshot;
  #changes: Promise<unknown> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #disposed = false;

  private constructor(options: StorageRegistryOptions<Report>) {
    this.#options = options;
    this.#opener = new Opener(options);
    this.#builtIn = new Set(options.builtIn.map(({ id }) => id));
    this.#meter = options.meter ?? silentMeter;
    this.#drainMsMax = options.drainMsMax ?? 30_000;
    this.#snapshot = { entries: new Map(), defaultId: options.builtIn[0].id };
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
      for (const builtIn of options.builtIn) await registry.#openBuiltIn(builtIn);
      await registry.reload();
    } catch (error) {
      await registry[Symbol.asyncDispose]();
      throw error;
    }
    registry.#retryLater();
    return registry;
  }

  get defaultId(): string {
    return this.#snapshot.defaultId;
  }

  ids(): readonly string[] {
    const entries = [...this.#snapshot.entries.values()];
    return entries.filter(({ record }) => allows(record.state, "read")).map(idOf);
  }

  lease(id: string, use: StorageUse): StorageLease {
    return this.#require(id, use).lease(use);
  }

  get(id: string): StorageDriver {
    return this.#require(id, "read").driver;
  }

  readiness(id: string): StorageReadiness {
    const { record, open } = this.#entry(id);
    if (!allows(record.state, "create")) return "closed";
    const state = open === undefined ? "open" : (open.driver.breaker?.() ?? "closed");
    return state === "closed" ? "ready" : "failing";
  }

  /** In order of ids, retired ones too. */
  list(): readonly StorageInfo[] {
    const entries = [...this.#snapshot.entries.values()];
    return entries
      .toSorted((a, b) => (idOf(a) < idOf(b) ? -1 : 1))
      .map((entry) => this.#info(entry));
  }

  /** `storage_not_found`; a retired one is found. */
  describe(id: string): StorageInfo {
    return this.#info(this.#known(id));
  }

  /**
   * Opens it, lets the canary try it, and takes it in as `active`. `already_exists`,
   * `invalid_request` for its settings, and what the canary found.
   */
  add({ id, driver, settings }: NewStorage): Promise<StorageInfo> {
    return this.#alone(async () => {
      if (!idPattern.test(id)) {
        const message = "id is not 1 to 63 lower-case letters, digits and inner hyphens";
        throw new OperationalError("invalid_request", message, { context: { field: "id" } });
      }
      const known = this.#snapshot.entries.get(id);
      if (known !== undefined) {
        const hint = known.record.state === "retired" ? " and is retired" : "";
        const message = `the storage ${id} exists${hint}`;
        throw new OperationalError("already_exists", message, { context: { storageId: id } });
      }
      return this.#info(await this.#admitNew({ id, driver, settings }));
    });
  }

  /**
   * New settings are opened and tried first; what runs on the old ones goes on. `unsupported` for the
   * settings of a built-in storage, `unavailable` if they lead to another storage.
   */
  change(id: string, { settings, state }: StorageChanges): Promise<StorageInfo> {
    return this.#alone(async () => {
      let entry = this.#entry(id);
      if (state !== undefined) assertFollows(id, entry.record.state, state);
      if (settings !== undefined) entry = await this.#changeSettings(entry, settings);
      if (state !== undefined) entry = await this.#changeState(entry, state);
      return this.#info(entry);
    });
  }

  /**
   * No new uploads from now on. Waits for those that run, `waitMsMax` at most; `uploadsRunning` of the
   * answer says how many are left.
   */
  async drain(id: string, options: { readonly waitMsMax?: number } = {}): Promise<StorageInfo> {
    const { record } = this.#entry(id);
    if (allows(record.state, "create")) await this.change(id, { state: "draining" });
    await this.#known(id).open?.uploadsEnded(options.waitMsMax ?? this.#drainMsMax);
    return this.describe(id);
  }

  /**
   * Takes a drained storage out for good. `precondition_failed` if it is active, the default, or named
   * by a bucket's placement; `locked` while uploads run; `not_empty`, with the count, while it holds
   * blobs. Its own small blobs are removed, its mark stays.
   */
  retire(id: string): Promise<StorageInfo> {
    return this.#alone(async () => {
      const entry = this.#entry(id);
      assertFollows(id, entry.record.state, "retired");
      if (this.#builtIn.has(id)) throw refusal(id, "is built in and cannot be retired");
      if (id === this.defaultId) throw refusal(id, "is the default: choose another first");
      await this.#refuseNamed(id);
      // From here on no upload goes on, so that none adds a row after the rows were counted.
      this.#publish({ ...entry, retiring: true });
      try {
        const uploads = entry.open?.uploadsRunning ?? 0;
        if (uploads > 0) {
          const message = `${uploads} uploads still run on the storage ${id}`;
          throw new OperationalError("locked", message, { context: { storageId: id, uploads } });
        }
        await this.#refuseHolding(id);
        const record = await this.#put({ ...entry.record, state: "retired" });
        if (entry.open !== undefined) await this.#tidy(entry.open.driver);
        return this.#info(this.#publish({ record, shown: entry.shown }));
      } catch (error) {
        this.#publish(entry);
        throw error;
      }
    });
  }

  /** Forgets a retired storage, so that its id may be given again. */
  forget(id: string): Promise<void> {
    return this.#alone(async () => {
      const { record } = this.#known(id);
      if (record.state !== "retired") throw refusal(id, `is ${record.state}: retire it first`);
      await this.#options.metadata.deleteStorage(id);
      const entries = new Map(this.#snapshot.entries);
      entries.delete(id);
      this.#swap({ ...this.#snapshot, entries });
    });
  }

  /** The long canary on the storage as it is open now. */
  async test(id: string, options: { readonly signal: AbortSignal }): Promise<Report> {
    using lease = this.lease(id, "read");
    return await this.#options.test(lease.driver, options);
  }

  /** Where bytes go when a bucket's placement does not say. `precondition_failed` unless active. */
  makeDefault(id: string): Promise<StorageInfo> {
    return this.#alone(async () => {
      const { record } = this.#entry(id);
      if (!allows(record.state, "create")) throw refusal(id, "takes no new uploads");
      await this.#options.metadata.putSetting(defaultSetting, id);
      this.#swap({ ...this.#snapshot, defaultId: id });
      return this.describe(id);
    });
  }

  /** Reads the records again, and opens, changes and closes what another process changed. */
  reload(): Promise<void> {
    return this.#alone(async () => {
      const { metadata } = this.#options;
      const records = await metadata.listStorages();
      const entries = await Promise.all(records.map((record) => this.#entryOf(record)));
      const defaultId = (await metadata.getSetting(defaultSetting)) ?? this.#snapshot.defaultId;
      this.#swap({ entries: new Map(entries.map((entry) => [idOf(entry), entry])), defaultId });
    });
  }

  /** Refuses new leases, and closes all storages within their bounds. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    clearTimeout(this.#timer);
    await this.#changes;
    this.#swap({ ...this.#snapshot, entries: new Map() });
    await Promise.all(this.#closing);
  }

  async #openBuiltIn({ id, driver, settings, markerUuid }: BuiltInStorage): Promise<void> {
    const records = await this.#options.metadata.listStorages();
    const record = records.find((known) => known.id === id);
    if (record === undefined) {
      const known = markerUuid === undefined ? {} : { markerUuid };
      await this.#admitNew({ id, driver, settings, ...known });
      return;
    }
    const checked = this.#opener.check(driver, settings);
    const mayWrite = this.#mayWrite(id, record.state);
    const opening = { id, settings: checked, markerUuid: record.markerUuid, mayWrite };
    const { storage } = await this.#opener.open(opening);
    const same = record.driver === driver && sameSettings(record.settings, checked.open);
    const written = same
      ? record
      : await this.#put({ ...record, driver, ...this.#opener.columnsOf(id, checked) });
    this.#publish({ record: written, shown: checked.shown, open: storage, openedAs: written });
  }

  async #admitNew(storage: NewStorage & { readonly markerUuid?: string }): Promise<Entry> {
    const { id, driver, markerUuid } = storage;
    const checked = this.#opener.check(driver, storage.settings);
    const known = markerUuid === undefined ? {} : { markerUuid };
    const mayWrite = this.#mayWrite(id, "active");
    const opened = await this.#opener.open({ id, settings: checked, mayWrite, ...known });
    const now = this.#options.clock.now();
    const record: StorageRecord = {
      id,
      driver,
      ...this.#opener.columnsOf(id, checked),
      state: "active",
      markerUuid: opened.markerUuid,
      revision: 1,
      createdAt: now,
      changedAt: now,
    };
    try {
      await this.#options.metadata.putStorage(record);
    } catch (error) {
      this.#close(opened.storage);
      throw error;
    }
    this.#options.log.info({ storageId: id, driver }, "a storage was added");
    const { shown } = checked;
    return this.#publish({ record, shown, open: opened.storage, openedAs: record });
  }

  async #changeSettings(entry: Entry, changes: Settings): Promise<Entry> {
    const { record } = entry;
    const { id, markerUuid } = record;
    if (this.#builtIn.has(id)) {
      const message = `the settings of ${id} stand in the server's configuration`;
      throw new OperationalError("unsupported", message, { context: { storageId: id } });
    }
    const settings = merge(this.#opener.settingsOf(record), withoutRedacted(changes));
    const checked = this.#opener.check(record.driver, settings);
    const mayWrite = this.#mayWrite(id, record.state);
    const { storage } = await this.#opener.open({ id, settings: checked, markerUuid, mayWrite });
    try {
      const written = await this.#put({ ...record, ...this.#opener.columnsOf(id, checked) });
      const { shown } = checked;
      return this.#publish({ record: written, shown, open: storage, openedAs: written });
    } catch (error) {
      this.#close(storage);
      throw error;
    }
  }

  async #changeState(entry: Entry, state: StorageState): Promise<Entry> {
    const { id } = entry.record;
    if (entry.record.state === state) return entry;
    if (id === this.defaultId && !allows(state, "create")) {
      throw refusal(id, "is the default: choose another first");
    }
    const uploads = entry.open?.uploadsRunning ?? 0;
    if (uploads > 0 && !allows(state, "continue")) {
      const message = `${uploads} uploads still run on the storage ${id}: drain it first`;
      throw new OperationalError("locked", message, { context: { storageId: id, uploads } });
    }
    const record = await this.#put({ ...entry.record, state });
    this.#options.log.info({ storageId: id, state }, "a storage changed its state");
    return this.#publish({ ...entry, record });
  }

  /** The entry of a record that was read: what is open stays so if only its state changed. */
  async #entryOf(record: StorageRecord): Promise<Entry> {
    const { id, state } = record;
    const before = this.#snapshot.entries.get(id);
    if (!allows(state, "read")) return { record, shown: before?.shown ?? record.settings };
    // A built-in one is what this server's configuration says, whatever another's has written.
    const keeps =
      before?.openedAs !== undefined &&
      (this.#builtIn.has(id) || samePlace(before.openedAs, record));
    if (!keeps) return await this.#tryOpen(record, before);
    const { problem: _, ...kept } = before;
    return { ...kept, record };
  }

  async #tryOpen(record: StorageRecord, before: Entry | undefined): Promise<Entry> {
    const { id, driver, markerUuid } = record;
    try {
      const checked = this.#opener.check(driver, this.#opener.settingsOf(record));
      const mayWrite = this.#mayWrite(id, record.state);
      const opening = { id, settings: checked, markerUuid, mayWrite };
      const { storage } = await this.#opener.open(opening);
      return { record, shown: checked.shown, open: storage, openedAs: record };
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      this.#options.log.error({ err: error, storageId: id }, `storage ${id} refused: ${problem}`);
      // What is open is the storage of this id in any case: it goes on until the settings are right.
      return { ...before, shown: before?.shown ?? record.settings, record, problem };
    }
  }

  #retryLater(): void {
    if (this.#disposed) return;
    this.#timer = setTimeout(async () => {
      await this.#alone(() => this.#reopen()).catch((error: unknown) => {
        this.#options.log.error({ err: error }, "opening storages again failed");
      });
      this.#retryLater();
    }, this.#options.retryMs ?? 30_000);
    this.#timer.unref();
  }

  /** Tries again what did not open. */
  async #reopen(): Promise<void> {
    for (const entry of this.#snapshot.entries.values()) {
      if (entry.problem === undefined || !allows(entry.record.state, "read")) continue;
      this.#publish(await this.#tryOpen(entry.record, entry));
    }
  }

  async #put(record: StorageRecord): Promise<StorageRecord> {
    const changedAt = this.#options.clock.now();
    const next = { ...record, revision: record.revision + 1, changedAt };
    await this.#options.metadata.putStorage(next);
    return next;
  }

  async #refuseNamed(id: string): Promise<void> {
    const buckets = await this.#options.metadata.listBuckets();
    const naming = buckets.filter(({ placement }) =>
      typeof placement === "string"
        ? placement === id
        : placement.some((rule) =>
            [rule.storage, rule.fallback, ...(rule.mirrors ?? [])].includes(id),
          ),
    );
    if (naming.length === 0) return;
    const names = naming.slice(0, 10).map(({ name }) => name);
    const more = naming.length > names.length ? " and others" : "";
    throw refusal(id, `is named by the placement of ${names.join(", ")}${more}`);
  }

  /** The store refuses it too, in its transaction; asked here first because counting takes long. */
  async #refuseHolding(id: string): Promise<void> {
    const { referenced, garbage } = await this.#options.metadata.countBlobsOfStorage(id);
    const blobs = referenced + garbage;
    if (blobs === 0) return;
    const waiting = garbage === 0 ? "" : `, ${garbage} of them waiting to be removed`;
    const message = `storage "${id}" still holds ${blobs} blobs${waiting}`;
    const context = { storageId: id, blobs, referenced, garbage };
    throw new OperationalError("not_empty", message, { context });
  }

  /** Removes what canary and probe keep; the mark stays, as the place's name. */
  async #tidy(driver: StorageDriver): Promise<void> {
    const signal = AbortSignal.timeout(this.#drainMsMax);
    try {
      for await (const { key } of driver.list(ownPrefix, { signal })) {
        if (key !== markerKey) await driver.delete(key, { signal });
      }
    } catch (error) {
      const fields = { err: error, storageId: driver.id };
      this.#options.log.warn(fields, `blobs under ${ownPrefix} were left in a retired storage`);
    }
  }

  #require(id: string, use: StorageUse): OpenStorage {
    const { record, open, problem, retiring } = this.#entry(id);
    const context = { storageId: id, state: record.state };
    if (!allows(record.state, use) || (retiring === true && use === "continue")) {
      const message = `the storage is ${record.state} and takes no ${use}`;
      throw new OperationalError("unavailable", message, { context });
    }
    if (open !== undefined) return open;
    // The reason names places and belongs in the log and the operator's list, not in an answer.
    throw new OperationalError("unavailable", "the storage is not open", {
      context,
      cause: problem,
    });
  }

  /** Not retired. */
  #entry(id: string): Entry {
    if (this.#disposed) throw new OperationalError("unavailable", "the server is stopping");
    const entry = this.#snapshot.entries.get(id);
    if (entry !== undefined && allows(entry.record.state, "read")) return entry;
    throw new OperationalError("storage_not_found", "there is no such storage", {
      context: { storageId: id.toWellFormed().slice(0, 128) },
    });
  }

  #known(id: string): Entry {
    return this.#snapshot.entries.get(id) ?? this.#entry(id);
  }

  #info(entry: Entry): StorageInfo {
    const { id } = entry.record;
    return infoOf(entry, { isDefault: id === this.defaultId, isBuiltIn: this.#builtIn.has(id) });
  }

  #mayWrite(id: string, state: StorageState): () => boolean {
    return () => allows(this.#snapshot.entries.get(id)?.record.state ?? state, "continue");
  }

  /** One change at a time. */
  #alone<T>(run: () => Promise<T>): Promise<T> {
    const running = this.#changes.then(() => {
      if (this.#disposed) throw new OperationalError("unavailable", "the server is stopping");
      return run();
    });
    this.#changes = running.catch(() => undefined);
    return running;
  }

  #publish(entry: Entry): Entry {
    const entries = new Map(this.#snapshot.entries).set(idOf(entry), entry);
    this.#swap({ ...this.#snapshot, entries });
    return entry;
  }

  /** The one place where what requests see changes. */
  #swap(next: Snapshot): void {
    const before = this.#snapshot;
    this.#snapshot = next;
    const kept = new Set([...next.entries.values()].map(({ open }) => open));
    for (const { open } of before.entries.values()) {
      if (open !== undefined && !kept.has(open)) this.#close(open);
    }
    this.#meterRefused(before, 1, next);
    this.#meterRefused(next, -1, before);
  }

  #meterRefused(of: Snapshot, sign: 1 | -1, other: Snapshot): void {
    for (const [id, { problem }] of of.entries) {
      if (problem === undefined || other.entries.get(id)?.problem !== undefined) continue;
      this.#meter.gauge("storage_refused", -sign, { storage: id });
    }
  }

  #close(open: OpenStorage): void {
    const closing = open.close(this.#drainMsMax).finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }
}

function idOf({ record }: Entry): string {
  return record.id;
}

function refusal(id: string, what: string): OperationalError {
  return new OperationalError("precondition_failed", `the storage ${id} ${what}`, {
    context: { storageId: id },
  });
}

function samePlace(a: StorageRecord, b: StorageRecord): boolean {
  if (a.driver !== b.driver || a.markerUuid !== b.markerUuid) return false;
  return sameSettings(a.settings, b.settings) && sameBytes(a.sealedSecrets, b.sealedSecrets);
}

function sameSettings(a: Settings, b: Settings): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function sameBytes(a: Uint8Array | null, b: Uint8Array | null): boolean {
  if (a === null || b === null) return a === b;
  return Buffer.compare(a, b) === 0;
}
