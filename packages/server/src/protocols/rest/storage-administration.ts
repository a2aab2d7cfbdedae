/** What the protocol needs of those who keep the storages. Permission is asked for before each call. */
import type { Author, StorageState } from "../../core/ports/metadata-store.ts";
import type { StorageInfo, StorageSettings } from "../../core/ports/storages.ts";
import type { StorageCors } from "../../core/storage-cors.ts";

export type { StorageInfo as StorageView } from "../../core/ports/storages.ts";
export type { StorageCors } from "../../core/storage-cors.ts";

/** What the long canary found. */
export interface StorageTest {
  readonly storageId: string;
  readonly startedAt: Date;
  readonly ms: number;
  readonly ok: boolean;
  readonly refusal?: string;
  readonly steps: readonly {
    readonly name: string;
    readonly outcome: "passed" | "failed" | "absent" | "skipped";
    readonly ms: number;
    readonly detail?: string;
  }[];
  readonly capabilities: readonly {
    readonly name: string;
    readonly declared: string;
    readonly seen?: string;
    readonly verdict: "as declared" | "more than declared" | "less than declared" | "not tried";
  }[];
  /** The same as a text that can be pasted into an issue. */
  readonly markdown: string;
}

export interface StorageCall {
  readonly signal: AbortSignal;
}

export interface StorageAdministration {
  /** Retired ones too. */
  list(): readonly StorageInfo[];
  /** With what runs on them in the other workers of the server. `unavailable` if one does not say. */
  everywhere(infos: readonly StorageInfo[]): Promise<readonly StorageInfo[]>;
  /** `storage_not_found`; a retired one is found. */
  describe(id: string): StorageInfo;
  /** `already_exists`; `invalid_request` for settings; `unavailable`, with the reason, if refused. */
  add(
    storage: {
      readonly id: string;
      readonly driver: string;
      readonly settings: StorageSettings;
    },
    author: Author,
  ): Promise<StorageInfo>;
  /**
   * What is left out stays; `null` removes a setting. `precondition_failed`, `locked`, `unsupported`,
   * and as `add`.
   */
  change(
    id: string,
    changes: {
      readonly settings?: StorageSettings;
      readonly state?: Exclude<StorageState, "retired">;
    },
    author: Author,
  ): Promise<StorageInfo>;
  makeDefault(id: string, author: Author): Promise<StorageInfo>;
  /** `precondition_failed`, `locked`, and `not_empty` with the count. */
  retire(id: string, author: Author): Promise<StorageInfo>;
  /** Of a retired one: its id may be given again. */
  forget(id: string, author: Author): Promise<void>;
  /** Rejects if it cannot be tried, not if it fails the test. */
  test(id: string, options: StorageCall): Promise<StorageTest>;
  /** `unsupported` where pages send nothing to the storage itself; `invalid_request` for origins. */
  cors(id: string, origins: readonly string[], options: StorageCall): Promise<StorageCors>;
  /** As `cors`; `unsupported` too where nobody may set rules. */
  setCors(id: string, origins: readonly string[], options: StorageCall): Promise<StorageCors>;
}
