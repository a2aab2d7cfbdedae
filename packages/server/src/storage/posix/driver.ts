// Blobs as files below one folder of a local disk or a mount (CephFS, MooseFS, NFS). A put resolves
// when the bytes and the name are durable; until then the old blob, if any, stays whole under the key.
//
// Order of a put: temporary file, writes, sync, length check, mount check, rename (or link), sync of
// the folder and of new parents, answer.

import { constants } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { keyBytesMax } from "@roma/contract";
import { OperationalError } from "../../core/errors.ts";
import type {
  BlobHead,
  Body,
  Call,
  GetOptions,
  LeftOver,
  ObjectBody,
  PutOptions,
  StorageCapabilities,
  StorageDriver,
  StorageSpace,
} from "../../core/ports/storage-driver.ts";
import { Calls } from "../calls.ts";
import type { StorageMark } from "../marker.ts";
import { resolveRange } from "../range.ts";
import { receive } from "../receive.ts";
import { refuseDigests } from "../refusals.ts";
import { BodyWriter } from "./body-writer.ts";
import { classify, during, errnoOf, ignore } from "./errors.ts";
import { type Files, systemFiles, withSlots } from "./files.ts";
import { Folders } from "./folders.ts";
import { labelMarker, MountGuard, makeMarker, ownFolder, readMarker } from "./guard.ts";
import { headOf } from "./head.ts";
import { bytesOfPrefix, keyOfBytes, pathOfKey } from "./keys.ts";
import { listNames } from "./list.ts";
import { type Publisher, publish, settle } from "./publish.ts";
import { FileBody } from "./read.ts";
import { slotsOf } from "./slots.ts";
import { Temporaries } from "./temporaries.ts";
import { Uploads } from "./uploads.ts";

// A FIFO that somebody planted must not hold a thread: O_NONBLOCK changes nothing for files.
const readFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const statsAhead = 16;

/** Types of file systems, of statfs(2), that live on other machines or in FUSE. */
const remoteTypes: ReadonlySet<number> = new Set([
  0x65735546, 0x6969, 0x00c36400, 0xff534d42, 0xfe534d42, 0x517b, 0x01021997, 0x0bd00bd0,
  0x47504653, 0x5346414f, 0x7461636f, 0x01161970, 0x19830326,
]);

export interface PosixOptions {
  /** Kept on every row that points here. */
  readonly id: string;
  readonly root: string;
  /**
   * The storage is new: make the folder and its marker if they are missing. Once it was opened, leave
   * this out, or an unmounted folder would be taken for a new storage.
   */
  readonly createMarker?: boolean;
  /** The marker's uuid as it was seen before: another, or none, is `unavailable`. */
  readonly uuid?: string;
  readonly syncAfterRename?: "auto" | boolean;
  /** File system calls at once: well below the size of the process's thread pool. */
  readonly callsMax?: number | undefined;
  /** Other workers of the server have it open as well. */
  readonly isShared?: boolean | undefined;
  /** All of them held for so long, and none ended: the mount is stuck. */
  readonly stuckMsMin?: number;
  /** For tests that make a call fail. */
  readonly files?: Files;
}

/** A driver that also tells which storage it found. */
export interface PosixStorage extends StorageDriver {
  /** Of the marker; to be kept, and given when the storage is opened again. */
  readonly uuid: string;
  /** As it was found when the storage was opened. */
  readonly mark: StorageMark;
}

/** Opens a storage; `unavailable` if its marker is missing or another storage's. */
export async function openPosixStorage(options: PosixOptions): Promise<PosixStorage> {
  const { id, createMarker = false, syncAfterRename = "auto" } = options;
  const given = resolve(options.root);
  const slots = slotsOf(given, options);
  const files = withSlots(options.files ?? systemFiles, slots);
  const makeFolder = (path: string): Promise<unknown> =>
    slots.run(() => mkdir(path, { recursive: true, mode: 0o750 }));
  try {
    const mayCreate = createMarker && options.uuid === undefined;
    if (mayCreate) await makeFolder(given);
    const root = await files.realPath(given);
    let marker = await readMarker(root, files);
    if (marker === undefined && mayCreate) marker = await slots.run(() => makeMarker(root, id));
    if (marker === undefined || (options.uuid !== undefined && options.uuid !== marker.uuid)) {
      throw new OperationalError(
        "unavailable",
        "the folder holds no marker of this storage: is it mounted?",
      );
    }
    if (marker.storageId !== id) {
      throw new OperationalError("unavailable", `the folder is the storage ${marker.storageId}`);
    }
    for (const name of ["tmp", "uploads"]) {
      await makeFolder(join(root, ownFolder, name));
    }
    const identity = await files.stat(root);
    const folders = new Folders(root, files, { isShared: options.isShared === true });
    const onRemount = (): void => folders.forget();
    const guard = new MountGuard(root, marker, identity, { files, onRemount });
    const { type } = await files.statFileSystem(root);
    const remote = remoteTypes.has(type);
    return new PosixDriver(id, root, {
      files,
      folders,
      guard,
      syncAfterRename: syncAfterRename === "auto" ? remote : syncAfterRename,
    });
  } catch (error) {
    const known = classify(error, "open");
    if (!(known instanceof OperationalError) || known.code !== "object_not_found") throw known;
    throw new OperationalError("unavailable", "the storage's folder is missing", { cause: error });
  }
}

class PosixDriver implements PosixStorage {
  readonly id: string;
  readonly capabilities: StorageCapabilities = {
    conditionalPut: true,
    conditionalComplete: true,
    durability: "fsync",
    verifies: [],
    etagIsMd5: false,
    listing: "strong",
    keepsMetadata: false,
    keyBytesMax,
    metadataBytesMax: 0,
    putBytesMax: Number.MAX_SAFE_INTEGER,
  };
  readonly parts: Uploads;
  readonly leftOvers = {
    list: (options: Call): AsyncIterable<LeftOver> => this.#listLeftOvers(options),
    remove: (token: string, options: Call): Promise<void> => this.#removeLeftOver(token, options),
    isRunning: (token: string): boolean =>
      this.#temporaries.isRunning(token) || this.parts.isBusy(token),
  };
  readonly #root: string;
  readonly #files: Files;
  readonly #publisher: Publisher;
  readonly #temporaries: Temporaries;
  readonly #calls = new Calls();

  constructor(id: string, root: string, publisher: Publisher) {
    this.id = id;
    this.#root = root;
    this.#publisher = publisher;
    this.#files = publisher.files;
    this.#temporaries = new Temporaries(join(root, ownFolder, "tmp"), publisher.files);
    this.parts = new Uploads(root, join(root, ownFolder, "uploads"), publisher, this.#calls);
  }

  get uuid(): string {
    return this.mark.uuid;
  }

  get mark(): StorageMark {
    const { guard } = this.#publisher;
    return { ...guard.marker, label: (environment) => this.#label(environment) };
  }

  async put(key: string, body: Body, options: PutOptions): Promise<BlobHead> {
    options.signal.throwIfAborted();
    const to = this.#path(key);
    refuseDigests(options);
    return await this.#calls.run(() => this.#put(key, to, body, options));
  }

  async get(key: string, options: GetOptions): Promise<{ head: BlobHead; body: ObjectBody }> {
    const { signal, ifMatch } = options;
    signal.throwIfAborted();
    const path = this.#path(key);
    return await this.#calls.run(async () => {
      const fd = await this.#open(path, signal);
      try {
        const stat = await during("read", this.#files.statOpen(fd));
        if (!stat.isFile()) throw notFound();
        const head = headOf(key, stat);
        if (ifMatch !== undefined && ifMatch !== head.etag) {
          throw new OperationalError("precondition_failed", "the blob has another etag");
        }
        const range = { fileBytes: head.length, ...resolveRange(head.length, options) };
        signal.throwIfAborted();
        return { head, body: new FileBody(fd, range, { files: this.#files, signal }) };
      } catch (error) {
        await this.#files.close(fd).catch(ignore);
        throw error;
      }
    });
  }

  async head(key: string, options: Call): Promise<BlobHead> {
    options.signal.throwIfAborted();
    const path = this.#path(key);
    return await this.#calls.run(async () => {
      if (!(await during("check", this.#publisher.folders.exists(dirname(path))))) {
        return await this.#missing();
      }
      const stat = await this.#files.stat(path).catch((error: unknown) => this.#absent(error));
      return stat?.isFile() ? headOf(key, stat) : await this.#missing();
    });
  }

  async *list(
    prefix: string,
    options: Call & { readonly after?: string },
  ): AsyncGenerator<BlobHead> {
    const { signal, after = "" } = options;
    signal.throwIfAborted();
    this.#calls.throwIfClosed();
    const listing = {
      files: this.#files,
      root: `${this.#root}/`,
      prefix: bytesOfPrefix(prefix),
      after: Buffer.from(after, "utf8").toString("latin1"),
      signal,
    };
    await this.#publisher.guard.check();
    // Asked ahead of the consumer, a few at a time, and answered in order.
    const asked: Promise<BlobHead | undefined>[] = [];
    for await (const { keyBytes, path } of listNames(listing)) {
      const asking = this.#headOfListed(keyOfBytes(keyBytes), path);
      asking.catch(ignore);
      asked.push(asking);
      if (asked.length < statsAhead) continue;
      const head = await asked.shift();
      signal.throwIfAborted();
      if (head !== undefined) yield head;
    }
    for (const asking of asked) {
      const head = await asking;
      signal.throwIfAborted();
      if (head !== undefined) yield head;
    }
  }

  async delete(key: string, options: Call): Promise<void> {
    options.signal.throwIfAborted();
    const path = this.#path(key);
    await this.#calls.run(async () => {
      const { folders, guard } = this.#publisher;
      const folder = dirname(path);
      const [exists] = await during("check", Promise.all([folders.exists(folder), guard.check()]));
      if (!exists) return;
      try {
        await this.#files.unlink(path);
      } catch (error) {
        // A folder of that name is somebody else's; the key has no blob.
        if (errnoOf(error) === "ENOENT" || errnoOf(error) === "EISDIR") return;
        throw classify(error, "delete");
      }
      await during("sync", folders.sync(await during("delete", folders.removeEmpty(folder))));
    });
  }

  async probe({ signal }: Call): Promise<void> {
    signal.throwIfAborted();
    await this.#calls.run(async () => {
      await this.#publisher.guard.check();
      await this.#publisher.guard.probe();
    });
  }

  async space({ signal }: Call): Promise<StorageSpace> {
    signal.throwIfAborted();
    const stat = await during("check", this.#files.statFileSystem(this.#root));
    const bytes = { bytesFree: stat.bavail * stat.bsize, bytesTotal: stat.blocks * stat.bsize };
    return stat.files === 0 ? bytes : { ...bytes, inodesFree: stat.ffree };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#calls.close();
  }

  async #put(key: string, to: string, body: Body, options: PutOptions): Promise<BlobHead> {
    const { signal, length, createOnly = false } = options;
    const temporary = await this.#temporaries.create(signal);
    const { fd, path: from } = temporary;
    let published = false;
    try {
      const received = await this.#write(fd, body, { signal, length });
      const stat = await during("check", this.#files.statOpen(fd));
      if (stat.size !== BigInt(received)) {
        const message = `the storage holds ${stat.size} bytes of ${received}`;
        throw new OperationalError("unavailable", message);
      }
      signal.throwIfAborted();
      const publication = { from, fd, to, createOnly };
      await publish(this.#publisher, publication);
      published = !createOnly;
      await settle(this.#publisher, publication);
      return headOf(key, stat);
    } finally {
      await temporary.release({ published });
    }
  }

  async #write(
    fd: number,
    body: Body,
    options: { readonly signal: AbortSignal; readonly length: number | undefined },
  ): Promise<number> {
    const writer = new BodyWriter(fd, this.#files);
    try {
      const received = await receive(body, { ...options, take: (chunk) => writer.add(chunk) });
      await writer.finish();
      return received;
    } catch (error) {
      await writer.stop();
      throw error;
    }
  }

  async #open(path: string, signal: AbortSignal): Promise<number> {
    const opening = this.#files.open(path, readFlags, undefined, signal);
    const [opened, inside] = await Promise.allSettled([
      opening,
      this.#publisher.folders.exists(dirname(path)),
    ]);
    if (opened.status === "fulfilled" && inside.status === "fulfilled" && inside.value) {
      return opened.value;
    }
    if (opened.status === "fulfilled") await this.#files.close(opened.value).catch(ignore);
    if (inside.status === "rejected") throw classify(inside.reason, "check");
    if (opened.status === "rejected") this.#absent(opened.reason);
    return await this.#missing();
  }

  /** Passes over a name that is not there; throws everything else. */
  #absent(error: unknown): undefined {
    const known = classify(error, "open");
    if (known instanceof OperationalError && known.code === "object_not_found") return undefined;
    throw known;
  }

  /** A key can only be missing in a storage that is there. */
  async #missing(): Promise<never> {
    await this.#publisher.guard.check();
    throw notFound();
  }

  async #headOfListed(key: string, path: string): Promise<BlobHead | undefined> {
    const stat = await this.#files.stat(path).catch((error: unknown) => this.#absent(error));
    return stat?.isFile() ? headOf(key, stat) : undefined;
  }

  async #label(environment: string): Promise<void> {
    await this.#calls.run(async () => {
      await this.#publisher.guard.probe();
      await during("publish", labelMarker(this.#root, environment));
    });
  }

  async *#listLeftOvers(options: Call): AsyncGenerator<LeftOver> {
    options.signal.throwIfAborted();
    await this.#publisher.guard.check();
    yield* this.#temporaries.list();
    yield* this.parts.leftOvers(options);
  }

  async #removeLeftOver(token: string, options: Call): Promise<void> {
    options.signal.throwIfAborted();
    await this.#publisher.guard.check();
    if (!(await this.parts.removeLeftOver(token))) await this.#temporaries.remove(token);
  }

  #path(key: string): string {
    return `${this.#root}/${pathOfKey(key)}`;
  }
}

function notFound(): OperationalError {
  return new OperationalError("object_not_found", "no such blob");
}
