/** The storages that core writes to and reads from, by id; the set may change while the server runs. */
import type { StorageState } from "./metadata-store.ts";
import type { BreakerState, StorageDriver } from "./storage-driver.ts";

/**
 * What an operation is about to do. A storage that drains refuses `create` and lets `continue` finish
 * what was begun; one that is read-only refuses both.
 */
export type StorageUse = "create" | "continue" | "read" | "delete";

/** Holds a storage open until it is disposed; once is enough. */
export interface StorageLease extends Disposable {
  /** With its layers; good for as long as the lease. */
  readonly driver: StorageDriver;
}

/** Bytes that are about to be written, and are counted against the storage's room as long as the lease is held. */
export interface DeclaredWrite {
  readonly bytes: number;
  /** Of them, so far; never less than before. */
  readonly writtenBytes: () => number;
}

/** What a guard of the places for bytes knows of them; left out: nobody guards them. */
export interface StorageRoom {
  /**
   * Rejects when none of these storages takes new bytes at the moment: `storage_full` without room, or without room
   * for so many `bytes`; `unavailable` where it is mounted read-only. Looks again before it does.
   */
  assertRoom(ids: readonly string[], bytes?: number): Promise<void>;
}

/**
 * `ready` takes new uploads. `failing` would take them, but does not answer, or has no room, at the moment. `closed`
 * takes none: it drains or is read-only.
 */
export type StorageReadiness = "ready" | "failing" | "closed";

export interface Storages extends Partial<StorageRoom> {
  /**
   * To be held from the first call of an operation to its last, so that a storage that is changed or
   * taken away is closed after it. `storage_not_found`; `unavailable` if it is not open or its state
   * does not allow the use. `storage_full` where what is to be written does not fit.
   */
  lease(id: string, use: StorageUse, write?: DeclaredWrite): StorageLease;
  /** For one short call that may fail because the storage is just being closed. Errors as `lease`. */
  get(id: string): StorageDriver;
  /** For so many `bytes`, if they are known. `storage_not_found`. */
  readiness(id: string, bytes?: number): StorageReadiness;
  /** Where bytes go when a bucket's placement does not say. */
  readonly defaultId: string;
  /** All that may hold blobs. */
  ids(): readonly string[];
}

/** Settings of a driver, as JSON. */
export type StorageSettings = Readonly<Record<string, unknown>>;

/** A storage as administrators see it: never a secret. */
export interface StorageInfo {
  readonly id: string;
  readonly driver: string;
  /** With defaults, secrets redacted. */
  readonly settings: StorageSettings;
  readonly state: StorageState;
  readonly isDefault: boolean;
  readonly isBuiltIn: boolean;
  readonly isOpen: boolean;
  /** Why it, or its newest settings, could not be opened: the setting, and what is wrong with it. */
  readonly problem?: string;
  /** Absent while it is not open. */
  readonly breaker?: BreakerState;
  /** Those too that began before its settings changed. */
  readonly uploadsRunning: number;
  /** Reads and deletes. */
  readonly othersRunning: number;
  readonly revision: number;
  readonly createdAt: Date;
  readonly changedAt: Date;
}
