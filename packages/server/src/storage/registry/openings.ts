// What opens storages: those that are new, those of records that were read, and those whose settings
// changed. What is new is opened first, then written down, then published; what was open before is
// closed only after that, and stays where the new does not open.

import { OperationalError } from "../../core/errors.ts";
import { serverAuthor } from "../../core/ports/author.ts";
import type { Author, StorageRecord } from "../../core/ports/metadata-store.ts";
import { type Changing, writeRecord } from "./changes.ts";
import type { Entry } from "./info.ts";
import { merge, type Settings, withoutRedacted } from "./kinds.ts";
import { allows } from "./states.ts";

/** What the configuration says of built-in storages. */
const ofServer = serverAuthor("start");

/** One that the server's own configuration describes, anew at each start; its record keeps its state. */
export interface BuiltInStorage {
  readonly id: string;
  readonly driver: string;
  readonly settings: Settings;
  /** As it was written down before there were records. */
  readonly markerUuid?: string;
}

/** Rejects with what the storage itself said. */
export async function openBuiltIn(changing: Changing, builtIn: BuiltInStorage): Promise<void> {
  const { current, opener, options } = changing;
  const { id, driver, settings } = builtIn;
  const records = await options.metadata.listStorages();
  const record = records.find((known) => known.id === id);
  if (record === undefined) {
    await openNew(changing, builtIn, ofServer);
    return;
  }
  const checked = opener.check(driver, settings);
  const mayWrite = current.mayWrite(id, record.state);
  const { markerUuid } = record;
  const { storage } = await opener.open({ id, settings: checked, markerUuid, mayWrite });
  const same = record.driver === driver && sameSettings(record.settings, checked.open);
  const written = same
    ? record
    : await writeRecord(
        changing,
        { ...record, driver, ...opener.columnsOf(id, checked) },
        ofServer,
      );
  current.publish({ record: written, shown: checked.shown, open: storage, openedAs: written });
}

/** Opens, writes down and publishes a storage that there was no record of. */
export async function openNew(
  changing: Changing,
  storage: BuiltInStorage,
  author: Author,
): Promise<Entry> {
  const { current, closing, opener, options } = changing;
  const { id, driver, markerUuid } = storage;
  const settings = opener.check(driver, storage.settings);
  const known = markerUuid === undefined ? {} : { markerUuid };
  const mayWrite = current.mayWrite(id, "active");
  const opened = await opener.open({ id, settings, mayWrite, ...known });
  const now = options.clock.now();
  const record: StorageRecord = {
    id,
    driver,
    ...opener.columnsOf(id, settings),
    state: "active",
    markerUuid: opened.markerUuid,
    revision: 1,
    createdAt: now,
    changedAt: now,
  };
  try {
    await options.metadata.putStorage(record, { author });
  } catch (error) {
    closing.add(opened.storage);
    throw error;
  }
  options.log.info({ storageId: id, driver }, "a storage was added");
  return current.publish({ record, shown: settings.shown, open: opened.storage, openedAs: record });
}

/** `unsupported` for a built-in storage, `unavailable` if they lead to another one. */
export async function changeSettings(
  changing: Changing,
  { record }: Entry,
  changes: Settings,
  author: Author,
): Promise<Entry> {
  const { current, closing, opener, builtIn } = changing;
  const { id, markerUuid } = record;
  if (builtIn.has(id)) {
    const message = `the settings of ${id} stand in the server's configuration`;
    throw new OperationalError("unsupported", message, { context: { storageId: id } });
  }
  const settings = merge(opener.settingsOf(record), withoutRedacted(changes));
  const checked = opener.check(record.driver, settings);
  const mayWrite = current.mayWrite(id, record.state);
  const { storage } = await opener.open({ id, settings: checked, markerUuid, mayWrite });
  try {
    const next = { ...record, ...opener.columnsOf(id, checked) };
    const written = await writeRecord(changing, next, author);
    const { shown } = checked;
    return current.publish({ record: written, shown, open: storage, openedAs: written });
  } catch (error) {
    closing.add(storage);
    throw error;
  }
}

/** The entry of a record that was read: what is open stays so if only its state changed. */
export async function entryOf(changing: Changing, record: StorageRecord): Promise<Entry> {
  const { current, builtIn } = changing;
  const { id, state } = record;
  const before = current.find(id);
  if (!allows(state, "read")) return { record, shown: before?.shown ?? record.settings };
  // A built-in one is what this server's configuration says, whatever another's has written.
  const keeps =
    before?.openedAs !== undefined && (builtIn.has(id) || samePlace(before.openedAs, record));
  if (!keeps) return await tryOpen(changing, record, before);
  const { problem: _, ...kept } = before;
  return { ...kept, record };
}

/** Where it does not open, the entry says why. */
export async function tryOpen(
  { current, opener, options }: Changing,
  record: StorageRecord,
  before: Entry | undefined,
): Promise<Entry> {
  const { id, driver, markerUuid } = record;
  try {
    const checked = opener.check(driver, opener.settingsOf(record));
    const mayWrite = current.mayWrite(id, record.state);
    const { storage } = await opener.open({ id, settings: checked, markerUuid, mayWrite });
    return { record, shown: checked.shown, open: storage, openedAs: record };
  } catch (error) {
    const { explain = messageOf, log } = options;
    const problem = explain(error);
    log.error({ err: error, storageId: id }, `storage ${id} is refused: ${problem}`);
    // What is open is the storage of this id in any case: it goes on until the settings are right.
    return { ...before, shown: before?.shown ?? record.settings, record, problem };
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
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
