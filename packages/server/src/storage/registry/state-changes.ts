// What changes the state of a storage, and when that is refused: draining, retiring, forgetting, and
// which one is the default. The settings, and with them what is open, stay as they are.

import { OperationalError } from "../../core/errors.ts";
import type { Author, StorageState } from "../../core/ports/metadata-store.ts";
import type { StorageDriver } from "../../core/ports/storage-driver.ts";
import { type Changing, refusal, uploadsRun, writeRecord } from "./changes.ts";
import type { Entry } from "./info.ts";
import { markerKey } from "./marker.ts";
import { allows, assertFollows } from "./states.ts";

/** Where the default is written down, once one was chosen. */
export const defaultSetting = "storages.default";

const ownPrefix = "roma/";

/** `precondition_failed` for the default, `locked` while uploads run that the state does not allow. */
export async function changeState(
  changing: Changing,
  entry: Entry,
  { state, author }: { readonly state: StorageState; readonly author: Author },
): Promise<Entry> {
  const { current, options } = changing;
  const { id } = entry.record;
  if (entry.record.state === state) return entry;
  if (id === current.defaultId && !allows(state, "create")) {
    throw refusal(id, "is the default: choose another first");
  }
  if (!allows(state, "continue")) {
    const held = await changing.elsewhere.hold(id);
    const uploads = current.uploadsRunning(id) + held.uploadsRunning;
    if (uploads > 0) throw uploadsRun(id, uploads, ": drain it first");
    held.assertHeld();
  }
  const record = await writeRecord(changing, { ...entry.record, state }, author);
  options.log.info({ storageId: id, state }, "a storage changed its state");
  return current.publish({ ...entry, record });
}

/** As `StorageRegistry.retire`; its own blobs are removed within `tidyMsMax`. */
export async function retire(
  changing: Changing,
  id: string,
  { tidyMsMax, author }: { readonly tidyMsMax: number; readonly author: Author },
): Promise<Entry> {
  const { current, builtIn } = changing;
  const entry = current.entry(id);
  assertFollows(id, entry.record.state, "retired");
  if (builtIn.has(id)) throw refusal(id, "is built in and cannot be retired");
  if (id === current.defaultId) throw refusal(id, "is the default: choose another first");
  await refuseNamed(changing, id);
  // From here on no upload goes on, so that none adds a row after the rows were counted.
  current.publish({ ...entry, retiring: true });
  try {
    const held = await changing.elsewhere.hold(id);
    const uploads = current.uploadsRunning(id) + held.uploadsRunning;
    if (uploads > 0) throw uploadsRun(id, uploads);
    await refuseHolding(changing, id);
    held.assertHeld();
    const record = await writeRecord(changing, { ...entry.record, state: "retired" }, author);
    if (entry.open !== undefined) await tidy(changing, entry.open.driver, tidyMsMax);
    return current.publish({ record, shown: entry.shown });
  } catch (error) {
    current.publish(entry);
    throw error;
  }
}

/** `precondition_failed` unless it is retired. */
export async function forget(
  { current, options }: Changing,
  id: string,
  author: Author,
): Promise<void> {
  const { record } = current.known(id);
  if (record.state !== "retired") throw refusal(id, `is ${record.state}: retire it first`);
  await options.metadata.deleteStorage(id, { author });
  current.forget(id);
}

/** `precondition_failed` unless it is active. */
export async function makeDefault(
  { current, options }: Changing,
  id: string,
  author: Author,
): Promise<Entry> {
  const entry = current.entry(id);
  if (!allows(entry.record.state, "create")) throw refusal(id, "takes no new uploads");
  await options.metadata.putSetting(defaultSetting, id, { author });
  current.replace({ defaultId: id });
  return entry;
}

async function refuseNamed({ options }: Changing, id: string): Promise<void> {
  const buckets = await options.metadata.listBuckets();
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
async function refuseHolding({ options }: Changing, id: string): Promise<void> {
  const { referenced, garbage } = await options.metadata.countBlobsOfStorage(id);
  const blobs = referenced + garbage;
  if (blobs === 0) return;
  const waiting = garbage === 0 ? "" : `, ${garbage} of them waiting to be removed`;
  const message = `storage "${id}" still holds ${blobs} blobs${waiting}`;
  const context = { storageId: id, blobs, referenced, garbage };
  throw new OperationalError("not_empty", message, { context });
}

/** Removes what canary and probe keep; the mark stays, as the place's name. */
async function tidy({ options }: Changing, driver: StorageDriver, msMax: number): Promise<void> {
  const signal = AbortSignal.timeout(msMax);
  try {
    for await (const { key } of driver.list(ownPrefix, { signal })) {
      if (key !== markerKey) await driver.delete(key, { signal });
    }
  } catch (error) {
    const fields = { err: error, storageId: driver.id };
    options.log.warn(fields, `blobs under ${ownPrefix} were left in a retired storage`);
  }
}
