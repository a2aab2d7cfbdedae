// What the registry knows of a storage, and what it shows of it: never a secret.

import type { StorageRecord } from "../../core/ports/metadata-store.ts";
import type { StorageInfo } from "../../core/ports/storages.ts";
import type { Settings } from "./kinds.ts";
import type { OpenStorage } from "./open-storage.ts";

export type { StorageInfo } from "../../core/ports/storages.ts";

/** One storage of a snapshot. */
export interface Entry {
  readonly record: StorageRecord;
  /** With defaults, secrets redacted. */
  readonly shown: Settings;
  /** Absent while it could not be opened, and of a retired one. */
  readonly open?: OpenStorage;
  /** The record that `open` was opened from: an older one where the newest did not open. */
  readonly openedAs?: StorageRecord;
  /** Why it, or its newest settings, could not be opened. */
  readonly problem?: string;
  /** It is being found out whether it is empty. */
  readonly retiring?: boolean;
}

export function infoOf(
  { record, shown, open, problem }: Entry,
  facts: Pick<StorageInfo, "isDefault" | "isBuiltIn" | "uploadsRunning" | "othersRunning">,
): StorageInfo {
  const breaker = open?.driver.breaker?.();
  return {
    id: record.id,
    driver: record.driver,
    settings: shown,
    state: record.state,
    ...facts,
    isOpen: open !== undefined,
    ...(problem === undefined ? {} : { problem }),
    ...(breaker === undefined ? {} : { breaker }),
    revision: record.revision,
    createdAt: record.createdAt,
    changedAt: record.changedAt,
  };
}
