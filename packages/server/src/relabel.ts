/**
 * `roma environment set` and `show --data`: the environment of a data folder whose server does not run. The
 * label is written into the metadata store first, then into the mark of every storage, so that what is left
 * after a crash disagrees, is found at the next start, and is put right by asking again.
 */
import { existsSync } from "node:fs";
import type { Secret } from "./config/index.ts";
import { environmentSetting, parseEnvironment } from "./core/environment.ts";
import { OperationalError } from "./core/errors.ts";
import { systemClock } from "./core/ports/clock.ts";
import { type Log, silentLog } from "./core/ports/log.ts";
import type { MetadataStore } from "./core/ports/metadata-store.ts";
import { silentMeter } from "./core/ports/meter.ts";
import { noSiblings } from "./core/ports/siblings.ts";
import { openSqliteStore } from "./metadata/index.ts";
import { type DataFolder, openDataFolder, openSealer } from "./operations/data-folder.ts";
import { openStorages } from "./server-storages.ts";
import { mountCallsMax } from "./thread-pool.ts";

export interface Relabelling {
  /** As configured: the data folder, and the sealing key if it is not in the folder. */
  readonly config: { readonly data: string; readonly sealingKey?: Secret | undefined };
  /** The process's, for storages whose keys come from there. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly log?: Log;
}

export interface Relabelled {
  /** Null: it had none. */
  readonly before: string | null;
  /** Storages whose marks could not be reached, and still say what they said. */
  readonly unreached: readonly string[];
}

export interface LabelledData {
  /** Null: it has none. */
  readonly environment: string | null;
  /** Whose marks say the same, or will. */
  readonly storages: readonly { readonly id: string; readonly driver: string }[];
}

/** `locked` while a server runs on the data, `unavailable` if there is none. */
export async function readDataEnvironment({
  config,
}: Pick<Relabelling, "config">): Promise<LabelledData> {
  const { store } = await openData(config);
  await using opened = store;
  const storages = (await opened.listStorages()).filter(({ state }) => state !== "retired");
  return {
    environment: (await opened.getSetting(environmentSetting)) ?? null,
    storages: storages.map(({ id, driver }) => ({ id, driver })),
  };
}

/** `locked` while a server runs on the data, `unavailable` if there is none, `invalid_request` for the label. */
export async function setDataEnvironment(
  label: string,
  { config, environment, log = silentLog }: Relabelling,
): Promise<Relabelled> {
  parseEnvironment(label, "LABEL");
  const { folder, store } = await openData(config);
  await using opened = store;
  const before = (await opened.getSetting(environmentSetting)) ?? null;
  const sealer = await openSealer(folder, opened, config.sealingKey?.reveal());
  await using storages = await openStorages({
    root: folder.objectsPath,
    environment,
    mountCallsMax: await mountCallsMax(log),
    drainMsMax: 1_000,
    // Whatever they say now, they are about to say the same; until then nothing is written to them.
    dataEnvironment: { admitMark() {}, mayWrite: () => false, labelForMarks: undefined },
    metadata: opened,
    sealer,
    clock: systemClock,
    log,
    meter: silentMeter,
    siblings: noSiblings(),
  });
  await opened.putSetting(environmentSetting, label);
  return { before, unreached: await storages.registry.label(label) };
}

async function openData(
  config: Relabelling["config"],
): Promise<{ readonly folder: DataFolder; readonly store: MetadataStore }> {
  const folder = existsSync(config.data) ? await openDataFolder(config.data) : undefined;
  if (folder === undefined || !existsSync(folder.metadataPath)) {
    throw new OperationalError("unavailable", `there is no data of a server in ${config.data}`, {
      retryable: false,
    });
  }
  return { folder, store: await openSqliteStore({ path: folder.metadataPath, log: silentLog }) };
}
