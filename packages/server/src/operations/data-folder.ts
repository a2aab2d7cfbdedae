/**
 * The data folder and the two files in it that are secrets: the sealing key and the root key. Both are
 * made once, with mode 0600, whole or not at all, and durable before anything depends on them.
 */
import { randomBytes } from "node:crypto";
import { chmod, mkdir, open, readFile, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { OperationalError } from "../core/errors.ts";
import type { MetadataStore } from "../core/ports/metadata-store.ts";
import { createSealer, type Sealer } from "../core/sealing.ts";

const sealCheckName = "sealing.check";
const sealCheckText = "roma";

export interface DataFolder {
  readonly path: string;
  readonly metadataPath: string;
  readonly objectsPath: string;
  readonly sealingKeyPath: string;
  readonly rootKeyPath: string;
}

/** Makes the folder, for its owner only, if it is not there. */
export async function openDataFolder(path: string): Promise<DataFolder> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  return {
    path,
    metadataPath: join(path, "metadata.sqlite"),
    objectsPath: join(path, "objects"),
    sealingKeyPath: join(path, "seal.key"),
    rootKeyPath: join(path, "root-key.json"),
  };
}

/**
 * The sealer of this installation. A key that does not fit what the store has sealed stops the
 * start: to go on would be to lose every secret at the next change.
 */
export async function openSealer(
  folder: DataFolder,
  metadata: MetadataStore,
  given?: string,
): Promise<Sealer> {
  const sealed = await metadata.getSetting(sealCheckName);
  const text = given ?? (await readText(folder.sealingKeyPath));
  if (text === undefined && sealed !== undefined) {
    throw new OperationalError(
      "unavailable",
      `the sealing key ${folder.sealingKeyPath} is gone; put it back, or give it as sealingKey`,
    );
  }
  const hex = text?.trim() ?? randomBytes(32).toString("hex");
  if (!/^[0-9a-f]{64}$/i.test(hex)) {
    throw new OperationalError("invalid_request", "the sealing key must be 64 hex digits");
  }
  if (text === undefined) await writeSecretFile(folder.sealingKeyPath, `${hex}\n`);
  const sealer = createSealer(Buffer.from(hex, "hex"));
  if (sealed === undefined) {
    const check = Buffer.from(sealer.seal(sealCheckText, sealCheckName)).toString("base64");
    await metadata.putSetting(sealCheckName, check);
    return sealer;
  }
  try {
    sealer.open(Buffer.from(sealed, "base64"), sealCheckName);
  } catch (cause) {
    throw new OperationalError(
      "unavailable",
      "the sealing key is not the one that this metadata store was sealed with",
      { cause },
    );
  }
  return sealer;
}

export interface RootKeyFile {
  readonly id: string;
  readonly secret: string;
  /** Where the server listened when it last started; the command line finds it here. */
  readonly endpoint?: string;
}

/** `undefined` if there is none. A file that is damaged is an error, not none. */
export async function readRootKey(folder: DataFolder): Promise<RootKeyFile | undefined> {
  const text = await readText(folder.rootKeyPath);
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && "id" in value && "secret" in value) {
      const { id, secret } = value;
      if (typeof id === "string" && typeof secret === "string") return { id, secret };
    }
  } catch {
    // The one answer for everything that is not such a file.
  }
  throw new OperationalError("invalid_request", `${folder.rootKeyPath} is not a root key file`);
}

export async function writeRootKey(folder: DataFolder, key: RootKeyFile): Promise<void> {
  await writeSecretFile(folder.rootKeyPath, `${JSON.stringify(key, null, 2)}\n`);
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

/** Temporary file, sync, rename, sync of the folder: after a crash it is whole or not there. */
async function writeSecretFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  await using file = await open(temporary, "w", 0o600);
  await file.writeFile(text);
  await file.sync();
  await chmod(temporary, 0o600);
  await rename(temporary, path);
  await using folder = await open(dirname(path), "r");
  await folder.sync();
}
