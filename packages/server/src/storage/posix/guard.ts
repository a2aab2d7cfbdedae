// Keeps bytes out of a folder whose mount is gone. `<root>/.roma/storage.json` names the storage; the
// device and inode of the root are compared before each commit, and where they changed the marker
// must still be the same. A marker is only ever made when the caller says that the storage is new.

import { randomUUID } from "node:crypto";
import fs from "node:fs/promises";
import { dirname, join } from "node:path";
import { OperationalError } from "../../core/errors.ts";
import { labelledMarker, type Marker, markerBytesMax, parseMarker } from "../marker.ts";
import { errnoOf } from "./errors.ts";
import { type Files, systemFiles } from "./files.ts";
import { SharedRun } from "./shared-run.ts";

/** The one folder below the root that no key can name. */
export const ownFolder = ".roma";
const markerName = "storage.json";

interface RootIdentity {
  readonly dev: bigint;
  readonly ino: bigint;
}

function unavailable(message: string, cause?: unknown): OperationalError {
  return new OperationalError("unavailable", message, { cause });
}

/** Undefined if there is none; `unavailable` if it cannot be read or says nonsense. */
export async function readMarker(root: string, files: Files): Promise<Marker | undefined> {
  let text: string;
  try {
    text = await files.readText(join(root, ownFolder, markerName));
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
    throw unavailable("the storage's marker cannot be read", error);
  }
  const marker = text.length <= markerBytesMax ? parseMarker(text) : undefined;
  if (marker === undefined) throw unavailable("the storage's marker is damaged");
  return marker;
}

/** Writes the marker unless another process was faster; answers the one that stands. */
export async function makeMarker(root: string, storageId: string): Promise<Marker> {
  const names = await fs.readdir(root);
  const foreign = names.filter((name) => name !== ownFolder && name !== "lost+found");
  if (foreign.length > 0) {
    throw unavailable("the folder is not empty and has no marker of a storage");
  }
  const folder = join(root, ownFolder);
  await fs.mkdir(folder, { mode: 0o750, recursive: true });
  const marker = { version: 1, uuid: randomUUID(), storageId, createdAt: new Date().toISOString() };
  const temporary = await writeTemporary(folder, `${JSON.stringify(marker)}\n`);
  try {
    await fs.link(temporary, join(folder, markerName));
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") throw error;
  } finally {
    await fs.unlink(temporary);
  }
  for (const path of [folder, root]) {
    await using handle = await fs.open(path, "r");
    await handle.sync();
  }
  const standing = await readMarker(root, systemFiles);
  if (standing === undefined) throw unavailable("the storage's marker vanished");
  return standing;
}

/** Writes an environment into the marker that is there: the old one or the new one is found, never none. */
export async function labelMarker(root: string, environment: string): Promise<void> {
  const path = join(root, ownFolder, markerName);
  const text = labelledMarker(await fs.readFile(path, "utf8"), environment);
  await fs.rename(await writeTemporary(dirname(path), text), path);
  await using folder = await fs.open(dirname(path), "r");
  await folder.sync();
}

async function writeTemporary(folder: string, text: string): Promise<string> {
  const temporary = join(folder, `${markerName}.${randomUUID()}`);
  await fs.writeFile(temporary, text, { flag: "wx", flush: true });
  return temporary;
}

export class MountGuard {
  readonly marker: Marker;
  readonly #root: string;
  readonly #files: Files;
  readonly #onRemount: () => void;
  #identity: RootIdentity;
  readonly #checks = new SharedRun(() => this.#checkNow());

  constructor(
    root: string,
    marker: Marker,
    identity: RootIdentity,
    options: { readonly files: Files; readonly onRemount: () => void },
  ) {
    this.#root = root;
    this.marker = marker;
    this.#identity = identity;
    this.#files = options.files;
    this.#onRemount = options.onRemount;
  }

  /** Resolves if the root is still the mounted storage; else `unavailable`. Cheap, and shared. */
  check(): Promise<void> {
    return this.#checks.request();
  }

  /** Reads the marker again. */
  async probe(): Promise<void> {
    const marker = await readMarker(this.#root, this.#files);
    if (marker?.uuid !== this.marker.uuid) {
      throw unavailable("the storage is not mounted: its marker is missing or another one");
    }
  }

  async #checkNow(): Promise<void> {
    let stat: RootIdentity;
    try {
      stat = await this.#files.stat(this.#root);
    } catch (error) {
      throw unavailable("the storage is not mounted: its folder cannot be read", error);
    }
    if (stat.dev === this.#identity.dev && stat.ino === this.#identity.ino) return;
    // A FUSE mount may come back under another device number; its marker comes back with it.
    await this.probe();
    this.#identity = { dev: stat.dev, ino: stat.ino };
    this.#onRemount();
  }
}
