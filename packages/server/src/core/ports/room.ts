/** Room for the metadata store, as who guards its disk sees it. */
export interface MetadataRoom {
  /** Rejects with `storage_full` when nothing may be added. Looks again before it does. */
  assertRoom(): Promise<void>;
  /** Frees what is kept for this moment. True if a call that found the disk full may succeed now. */
  makeRoom(): Promise<boolean>;
}
