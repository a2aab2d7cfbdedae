/**
 * The root key: made at the first start and kept in a file that only its owner can read, or given by
 * the configuration and kept nowhere but sealed.
 */

import { isDeepStrictEqual } from "node:util";
import type { Secret } from "../config/index.ts";
import type { Actor } from "../core/access.ts";
import { type AccessKeys, rootPolicy } from "../core/access-keys.ts";
import { OperationalError } from "../core/errors.ts";
import type { MetadataStore } from "../core/ports/metadata-store.ts";
import { type DataFolder, type RootKeyFile, readRootKey, writeRootKey } from "./data-folder.ts";

const settingName = "root-key.id";

export interface RootKey {
  readonly id: string;
  readonly actor: Actor;
  /** Made at this start: to be shown, this once. */
  readonly newSecret?: string;
  /** The file that holds it; absent when the configuration gave the key. */
  readonly file?: string;
  /** Notes in the file where the server listens, so that the command line finds it. */
  remember(endpoint: string): Promise<void>;
}

export async function ensureRootKey(options: {
  readonly folder: DataFolder;
  readonly metadata: MetadataStore;
  readonly accessKeys: AccessKeys;
  readonly given?: Secret | undefined;
}): Promise<RootKey> {
  const { folder, metadata, accessKeys } = options;
  if (options.given !== undefined) {
    const key = await accessKeys.ensureRoot(parseGiven(options.given.reveal()));
    await metadata.putSetting(settingName, key.record.id);
    return { ...identity(key.record.id), remember: async () => {} };
  }
  const kept = await readRootKey(folder);
  const id = await metadata.getSetting(settingName);
  if (kept === undefined && id !== undefined) {
    // Somebody put the file away, which is good practice; the key itself goes on working.
    return { ...identity(id), remember: async () => {} };
  }
  const opened = kept && (await accessKeys.open(kept.id));
  if (kept !== undefined && opened?.secret === kept.secret) {
    // Made by an older version: what a root key may has grown.
    if (!isDeepStrictEqual(opened.record.policy, rootPolicy)) await accessKeys.ensureRoot(kept);
    return inFile(folder, kept);
  }
  // The file is durable before the key is: a crash in between leaves a file that this line finds.
  const made = kept ?? accessKeys.newIdAndSecret();
  if (kept === undefined) await writeRootKey(folder, made);
  await accessKeys.ensureRoot(made);
  await metadata.putSetting(settingName, made.id);
  return { ...inFile(folder, made), newSecret: made.secret };
}

/**
 * For a server that may change nothing: the data's own keys open it, and one that the configuration gives is
 * not written down.
 */
export async function readRootKeyOnly(options: {
  readonly folder: DataFolder;
  readonly metadata: Pick<MetadataStore, "getSetting">;
}): Promise<RootKey> {
  const { folder, metadata } = options;
  const kept = await readRootKey(folder);
  if (kept !== undefined) return inFile(folder, kept);
  const id = (await metadata.getSetting(settingName)) ?? "";
  return { ...identity(id), remember: async () => {} };
}

function identity(id: string): Pick<RootKey, "id" | "actor"> {
  return {
    id,
    actor: { kind: "key", keyId: id, policy: rootPolicy },
  };
}

function inFile(folder: DataFolder, key: RootKeyFile): RootKey {
  return {
    ...identity(key.id),
    file: folder.rootKeyPath,
    remember: (endpoint) => writeRootKey(folder, { id: key.id, secret: key.secret, endpoint }),
  };
}

function parseGiven(text: string): { readonly id: string; readonly secret: string } {
  const colon = text.indexOf(":");
  if (colon === -1) throw new OperationalError("invalid_request", "rootKey must be ID:SECRET");
  return { id: text.slice(0, colon), secret: text.slice(colon + 1) };
}
