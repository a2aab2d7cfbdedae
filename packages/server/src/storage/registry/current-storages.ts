// What requests see of the storages: an immutable snapshot, replaced whole and never edited. Whatever is
// open and no longer in the snapshot is closed, once nobody uses it. Nothing here waits, or asks the
// metadata store.

import { OperationalError } from "../../core/errors.ts";
import type { StorageState } from "../../core/ports/metadata-store.ts";
import type { Meter } from "../../core/ports/meter.ts";
import type { StorageInfo, StorageReadiness, StorageUse } from "../../core/ports/storages.ts";
import type { ClosingStorages } from "./closing-storages.ts";
import { type Entry, infoOf } from "./info.ts";
import type { OpenStorage } from "./open-storage.ts";
import { allows } from "./states.ts";

export interface Snapshot {
  readonly entries: ReadonlyMap<string, Entry>;
  readonly defaultId: string;
}

export interface CurrentOptions {
  readonly defaultId: string;
  readonly builtIn: ReadonlySet<string>;
  readonly closing: ClosingStorages;
  readonly meter: Meter;
}

export class CurrentStorages {
  readonly #options: CurrentOptions;
  #snapshot: Snapshot;
  #stopped = false;
  readonly #heldUntil = new Map<string, number>();

  constructor(options: CurrentOptions) {
    this.#options = options;
    this.#snapshot = { entries: new Map(), defaultId: options.defaultId };
  }

  get defaultId(): string {
    return this.#snapshot.defaultId;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  entries(): readonly Entry[] {
    return [...this.#snapshot.entries.values()];
  }

  /** A retired one too. */
  find(id: string): Entry | undefined {
    return this.#snapshot.entries.get(id);
  }

  /** `storage_not_found`; a retired one is found. */
  known(id: string): Entry {
    return this.find(id) ?? this.entry(id);
  }

  /** Not retired, else `storage_not_found`. */
  entry(id: string): Entry {
    this.assertRunning();
    const entry = this.find(id);
    if (entry !== undefined && allows(entry.record.state, "read")) return entry;
    throw new OperationalError("storage_not_found", "there is no such storage", {
      context: { storageId: id.toWellFormed().slice(0, 128) },
    });
  }

  /** `unavailable` if it is not open or its state does not allow the use. */
  require(id: string, use: StorageUse): OpenStorage {
    const { record, open, problem, retiring } = this.entry(id);
    const context = { storageId: id, state: record.state };
    if (this.#isHeld(id) && isUpload(use)) {
      const message = "the storage is being taken out of use";
      throw new OperationalError("unavailable", message, { retryable: true, context });
    }
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

  readiness(id: string): StorageReadiness {
    const { record, open } = this.entry(id);
    if (!allows(record.state, "create")) return "closed";
    const state = open === undefined ? "open" : (open.driver.breaker?.() ?? "closed");
    return state === "closed" ? "ready" : "failing";
  }

  info(entry: Entry): StorageInfo {
    const { id } = entry.record;
    return infoOf(entry, {
      isDefault: id === this.defaultId,
      isBuiltIn: this.#options.builtIn.has(id),
      uploadsRunning: this.uploadsRunning(id),
      othersRunning: this.othersRunning(id),
    });
  }

  /** On what was open before as well: its settings may have changed under them. */
  uploadsRunning(id: string): number {
    return sum(this.#inUse(id).map((open) => open.uploadsRunning));
  }

  /** Reads and deletes. */
  othersRunning(id: string): number {
    return sum(this.#inUse(id).map(({ othersRunning }) => othersRunning));
  }

  /**
   * For so long, or until `release`, no upload is begun on it here: another worker finds out whether it is empty.
   * Answers how many run.
   */
  hold(id: string, ms: number): number {
    this.#heldUntil.set(id, performance.now() + ms);
    return this.uploadsRunning(id);
  }

  /** Whatever is held. */
  release(): void {
    this.#heldUntil.clear();
  }

  /** Resolves when no upload runs on it any more, or the time is over. */
  async uploadsEnded(id: string, msMax: number): Promise<void> {
    await Promise.all(this.#inUse(id).map((open) => open.uploadsEnded(msMax)));
  }

  /** Whether what watches a storage may write to it: by its state at that time. */
  mayWrite(id: string, state: StorageState): () => boolean {
    return () => allows(this.find(id)?.record.state ?? state, "continue");
  }

  publish(entry: Entry): Entry {
    const entries = new Map(this.#snapshot.entries).set(entry.record.id, entry);
    this.replace({ entries });
    return entry;
  }

  forget(id: string): void {
    this.replace({
      entries: new Map([...this.#snapshot.entries].filter(([known]) => known !== id)),
    });
  }

  /** The one place where what requests see changes. */
  replace(parts: Partial<Snapshot>): void {
    const before = this.#snapshot;
    const next = { ...before, ...parts };
    this.#snapshot = next;
    const kept = new Set([...next.entries.values()].map(({ open }) => open));
    for (const { open } of before.entries.values()) {
      if (open !== undefined && !kept.has(open)) this.#options.closing.add(open);
    }
    this.#meterRefused(before, 1, next);
    this.#meterRefused(next, -1, before);
  }

  /** From now on every question is answered with `unavailable`. */
  stop(): void {
    this.#stopped = true;
  }

  assertRunning(): void {
    if (this.#stopped) throw new OperationalError("unavailable", "the server is stopping");
  }

  #isHeld(id: string): boolean {
    return (this.#heldUntil.get(id) ?? 0) > performance.now();
  }

  #inUse(id: string): readonly OpenStorage[] {
    const open = this.find(id)?.open;
    return [...(open === undefined ? [] : [open]), ...this.#options.closing.of(id)];
  }

  #meterRefused(of: Snapshot, sign: 1 | -1, other: Snapshot): void {
    for (const [id, { problem }] of of.entries) {
      if (problem === undefined || other.entries.get(id)?.problem !== undefined) continue;
      this.#options.meter.gauge("storage_refused", -sign, { storage: id });
    }
  }
}

function isUpload(use: StorageUse): boolean {
  return use === "create" || use === "continue";
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
