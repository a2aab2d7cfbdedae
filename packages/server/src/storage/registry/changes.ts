// What the changes of a registry work with, and the record that each of them writes down before it is
// seen. Changes come one after the other; the registry sees to that.

import { OperationalError } from "../../core/errors.ts";
import type { Clock } from "../../core/ports/clock.ts";
import type { Log } from "../../core/ports/log.ts";
import type { Author, MetadataStore, StorageRecord } from "../../core/ports/metadata-store.ts";
import type { ClosingStorages } from "./closing-storages.ts";
import type { CurrentStorages } from "./current-storages.ts";
import type { Elsewhere } from "./elsewhere.ts";
import type { Opener } from "./opener.ts";

export interface ChangeOptions {
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
  readonly clock: Clock;
  readonly log: Log;
  /** Why a storage did not open, for its operator; left out: the error's own message. */
  readonly explain?: (error: unknown) => string;
}

export interface Changing {
  readonly current: CurrentStorages;
  readonly elsewhere: Elsewhere;
  readonly closing: ClosingStorages;
  readonly opener: Opener;
  readonly builtIn: ReadonlySet<string>;
  readonly options: ChangeOptions;
}

/** Answers it as it was written, one revision later. */
export async function writeRecord(
  { options: { metadata, clock } }: Changing,
  record: StorageRecord,
  author: Author,
): Promise<StorageRecord> {
  const next = { ...record, revision: record.revision + 1, changedAt: clock.now() };
  await metadata.putStorage(next, { author });
  return next;
}

export function refusal(id: string, what: string): OperationalError {
  return new OperationalError("precondition_failed", `the storage ${id} ${what}`, {
    context: { storageId: id },
  });
}

export function uploadsRun(id: string, uploads: number, hint = ""): OperationalError {
  return new OperationalError(
    "locked",
    `${uploads} uploads still run on the storage ${id}${hint}`,
    {
      context: { storageId: id, uploads },
    },
  );
}
