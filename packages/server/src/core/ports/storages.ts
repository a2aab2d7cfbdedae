/** The storages that core writes to and reads from, by id. */
import type { StorageDriver } from "./storage-driver.ts";

export interface Storages {
  /** The storage with its layers; `storage_not_found`. */
  get(id: string): StorageDriver;
  /** Where bytes go when a bucket's placement does not say. */
  readonly defaultId: string;
  ids(): readonly string[];
}
