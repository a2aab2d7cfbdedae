// Uploads in parts, written where they will stay: part n lies at (n - 1) * partBytes of one file in
// `<root>/.roma/uploads/`, so completing copies nothing. Beside it a journal says what is durable, and
// is all that a new process needs. Core sees to it that one process writes an upload; within it,
// calls on one upload run one after the other.
//
// Order of a part: bytes, sync, journal, sync, answer. Of complete: cut, sync, journal ("completing"),
// name, sync of the folder, answer. Of the completed upload the journal stays, so that complete can be
// repeated; it is a left-over then, and the sweeper removes it with age.

import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { join } from "node:path";
import { crc64Nvme, crc64NvmeToBytes } from "../../core/digests/crc64-nvme.ts";
import { isOperationalError, OperationalError } from "../../core/errors.ts";
import type {
  BlobHead,
  Body,
  Call,
  Digests,
  LeftOver,
  Part,
  PartWrites,
  PutOptions,
  UploadAddress,
} from "../../core/ports/storage-driver.ts";
import type { Calls } from "../calls.ts";
import { lengthOfParts } from "../part-list.ts";
import { receive } from "../receive.ts";
import { refuseDigests } from "../refusals.ts";
import { BodyWriter } from "./body-writer.ts";
import { during, errnoOf, ignore } from "./errors.ts";
import type { Files } from "./files.ts";
import { headOf } from "./head.ts";
import { appendFact, createJournal, readJournal, type UploadState } from "./journal.ts";
import { pathOfKey } from "./keys.ts";
import { type Publisher, publish, settle } from "./publish.ts";

const MiB = 1024 * 1024;
const dataFlags = constants.O_RDWR | constants.O_NOFOLLOW;
const tokenPattern = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const cachedMax = 1024;

export class Uploads implements PartWrites {
  readonly partBytesMin = 1;
  readonly partBytesMax = 1024 * MiB;
  readonly partsMax = 10_000;
  readonly equalParts = true;
  readonly #root: string;
  readonly #folder: string;
  readonly #publisher: Publisher;
  readonly #files: Files;
  readonly #turns = new Map<string, Promise<void>>();
  readonly #cache = new Map<string, UploadState>();
  readonly #creating = new Set<string>();

  readonly #calls: Calls;

  constructor(root: string, folder: string, publisher: Publisher, calls: Calls) {
    this.#calls = calls;
    this.#root = root;
    this.#folder = folder;
    this.#publisher = publisher;
    this.#files = publisher.files;
  }

  async create(
    key: string,
    options: PutOptions & { readonly partBytes: number },
  ): Promise<UploadAddress> {
    const { signal, partBytes, createOnly = false } = options;
    signal.throwIfAborted();
    pathOfKey(key);
    refuseDigests(options);
    if (partBytes < this.partBytesMin || partBytes > this.partBytesMax) {
      throw invalidPart(`parts of ${partBytes} bytes, outside 1 to ${this.partBytesMax}`);
    }
    const token = randomUUID();
    this.#creating.add(token);
    try {
      const fd = await during("open", this.#openNew(this.#data(token)));
      await this.#files.close(fd);
      const createdAt = new Date().toISOString();
      const fact = { type: "created", key, partBytes, createOnly, createdAt } as const;
      await createJournal(this.#files, this.#journal(token), fact);
      await during("sync", this.#publisher.folders.sync(this.#folder));
    } catch (error) {
      await this.#remove(token).catch(ignore);
      throw error;
    } finally {
      this.#creating.delete(token);
    }
    return { key, token };
  }

  writePart(
    upload: UploadAddress,
    partNumber: number,
    bytes: Uint8Array,
    options: Call & { readonly digests: Digests },
  ): Promise<Part> {
    return this.#inTurn(upload, options, async (state) => {
      if (!Number.isInteger(partNumber) || partNumber < 1 || partNumber > this.partsMax) {
        throw invalidPart(`part number ${partNumber}, outside 1 to ${this.partsMax}`);
      }
      if (bytes.length === 0 || bytes.length > state.partBytes) {
        throw invalidPart(`a part of ${bytes.length} bytes, outside 1 to ${state.partBytes}`);
      }
      if (state.offset > 0) throw invalidPart("the upload is written without parts");
      const sum = crc64NvmeToBytes(crc64Nvme(bytes));
      const expected = options.digests.crc64nvme;
      if (expected !== undefined && !Buffer.from(sum).equals(expected)) {
        throw new OperationalError("checksum_mismatch", "the part's CRC-64/NVME differs");
      }
      const journal = this.#journal(upload.token);
      if (state.parts.has(partNumber)) {
        await appendFact(this.#files, journal, state, { type: "lost", partNumber });
      }
      await this.#withData(upload.token, async (fd) => {
        const position = (partNumber - 1) * state.partBytes;
        let done = 0;
        while (done < bytes.length) {
          const rest = bytes.subarray(done);
          done += await during("write", this.#files.write(fd, [rest], position + done));
        }
        await during("sync", this.#files.syncData(fd));
      });
      const crc = Buffer.from(sum).toString("hex");
      const part = { length: bytes.length, crc };
      await appendFact(this.#files, journal, state, { type: "part", partNumber, ...part });
      return partOf(partNumber, part);
    });
  }

  append(upload: UploadAddress, offset: number, body: Body, options: Call): Promise<number> {
    return this.#inTurn(upload, options, async (state) => {
      if (state.parts.size > 0) throw invalidPart("the upload is written in parts");
      if (offset > state.offset || offset < 0) {
        const message = `offset ${offset} does not match ${state.offset}`;
        throw new OperationalError("offset_mismatch", message);
      }
      const journal = this.#journal(upload.token);
      // The journal goes back first: it must not lead the data.
      if (offset < state.offset) {
        await appendFact(this.#files, journal, state, { type: "offset", offset });
      }
      const received = await this.#withData(upload.token, async (fd) => {
        const { size } = await during("check", this.#files.statOpen(fd));
        if (size < BigInt(offset)) {
          throw new OperationalError("data_damaged", "the upload is shorter than was recorded");
        }
        await during("write", this.#files.truncate(fd, offset));
        const writer = new BodyWriter(fd, this.#files, offset);
        try {
          const take = (chunk: Uint8Array) => writer.add(chunk);
          const count = await receive(body, { signal: options.signal, take });
          await writer.finish();
          return count;
        } finally {
          await writer.stop();
        }
      });
      const end = offset + received;
      await appendFact(this.#files, journal, state, { type: "offset", offset: end });
      return end;
    });
  }

  async idle({ token }: UploadAddress): Promise<void> {
    for (;;) {
      const last = this.#turns.get(token);
      if (last === undefined) return;
      await last;
    }
  }

  async *listParts(upload: UploadAddress, options: Call): AsyncGenerator<Part> {
    const parts = await this.#inTurn(upload, options, async (state) => [...state.parts]);
    parts.sort(([a], [b]) => a - b);
    for (const [partNumber, part] of parts) {
      options.signal.throwIfAborted();
      yield partOf(partNumber, part);
    }
  }

  async complete(
    upload: UploadAddress,
    parts: readonly Part[],
    options: PutOptions,
  ): Promise<BlobHead> {
    refuseDigests(options);
    const complete = (state: UploadState): Promise<BlobHead> =>
      this.#complete(upload, state, parts, options);
    return await this.#inTurn(upload, options, complete, { completed: true });
  }

  async cancel(upload: UploadAddress, options: Call): Promise<void> {
    options.signal.throwIfAborted();
    if (!tokenPattern.test(upload.token)) return;
    await this.#serialised(upload.token, async () => {
      await this.#publisher.guard.check();
      await during("delete", this.#remove(upload.token));
      await during("sync", this.#publisher.folders.sync(this.#folder));
    });
  }

  async *listPending(
    prefix: string,
    options: Call,
  ): AsyncGenerator<UploadAddress & { readonly createdAt: Date }> {
    for await (const { token, state, hasData } of this.#all(options)) {
      if (state === undefined || !hasData || !state.key.startsWith(prefix)) continue;
      yield { key: state.key, token, createdAt: state.createdAt };
    }
  }

  /** Journals of completed uploads, and data whose journal was never made. */
  async *leftOvers(options: Call): AsyncGenerator<LeftOver> {
    for await (const { token, state, hasData, file } of this.#all(options)) {
      if (this.#creating.has(token) || (state !== undefined && hasData)) continue;
      const stat = await this.#files.stat(join(this.#folder, file)).catch(() => undefined);
      if (stat === undefined) continue;
      yield { token: file, modifiedAt: stat.mtime, length: Number(stat.size) };
    }
  }

  /** Whether a call of this process has its file or its journal in hand. */
  isBusy(file: string): boolean {
    const token = file.replace(/\.(?:data|journal)$/, "");
    return this.#creating.has(token) || this.#turns.has(token);
  }

  /** Whether it was one of `leftOvers`; a pending upload is never removed this way. */
  async removeLeftOver(file: string): Promise<boolean> {
    const token = file.replace(/\.(?:data|journal)$/, "");
    if (token === file || !tokenPattern.test(token)) return false;
    await this.#serialised(token, async () => {
      const state = await this.#load(token).catch(() => undefined);
      const pending = state !== undefined && (await this.#hasData(token));
      if (!pending && !this.#creating.has(token)) await this.#remove(token);
    });
    return true;
  }

  async #complete(
    upload: UploadAddress,
    state: UploadState,
    parts: readonly Part[],
    options: PutOptions,
  ): Promise<BlobHead> {
    const to = join(this.#root, pathOfKey(state.key));
    const from = this.#data(upload.token);
    const createOnly = options.createOnly ?? state.createOnly;
    if (state.completing !== undefined && !(await this.#hasData(upload.token))) {
      // It got its name before; a crash may have come before the folder was synced.
      await during("sync", this.#publisher.folders.sync(join(to, "..")));
      const { length, etag, modifiedMs } = state.completing;
      const modifiedAt = new Date(modifiedMs);
      return { key: state.key, length, etag, modifiedAt, digests: {}, metadata: {} };
    }
    const length = parts.length === 0 ? state.offset : lengthOf(state, parts);
    if (options.length !== undefined && options.length !== length) {
      const message = `the upload has ${length} bytes, not ${options.length}`;
      throw new OperationalError("incomplete_body", message);
    }
    return await this.#withData(upload.token, async (fd) => {
      await during("write", this.#files.truncate(fd, length));
      await during("sync", this.#files.syncData(fd));
      const head = headOf(state.key, await during("check", this.#files.statOpen(fd)));
      if (head.length !== length) {
        throw new OperationalError("data_damaged", "the upload is shorter than was recorded");
      }
      const modifiedMs = head.modifiedAt.getTime();
      const fact = { type: "completing", length, etag: head.etag, modifiedMs } as const;
      await appendFact(this.#files, this.#journal(upload.token), state, fact);
      const publication = { from, fd, to, createOnly };
      options.signal.throwIfAborted();
      try {
        await publish(this.#publisher, publication);
      } catch (error) {
        // A link that was made before a crash is ours.
        const taken = await this.#files.stat(to).catch(() => undefined);
        if (!createOnly || taken === undefined || headOf(state.key, taken).etag !== head.etag) {
          throw error;
        }
      }
      await settle(this.#publisher, publication);
      if (createOnly) await during("publish", this.#files.unlink(from));
      return head;
    });
  }

  /** Runs with the state, after all earlier calls on the upload; `upload_not_found`. */
  #inTurn<T>(
    upload: UploadAddress,
    { signal }: Call,
    run: (state: UploadState) => Promise<T>,
    options: { readonly completed: boolean } = { completed: false },
  ): Promise<T> {
    return this.#serialised(upload.token, async () => {
      signal.throwIfAborted();
      await this.#publisher.guard.check();
      const state = tokenPattern.test(upload.token) ? await this.#load(upload.token) : undefined;
      if (state === undefined || state.key !== upload.key) throw notFound();
      if (state.completing !== undefined && !options.completed) {
        if (!(await this.#hasData(upload.token))) throw notFound();
      }
      try {
        return await run(state);
      } catch (error) {
        // What a failed call left of the journal is read again.
        this.#cache.delete(upload.token);
        throw error;
      }
    });
  }

  async #serialised<T>(token: string, run: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(token);
    let end = ignore;
    const turn = new Promise<void>((resolve) => {
      end = resolve;
    });
    this.#turns.set(token, turn);
    try {
      await before;
      return await this.#calls.run(run);
    } finally {
      end();
      if (this.#turns.get(token) === turn) this.#turns.delete(token);
    }
  }

  async #load(token: string): Promise<UploadState | undefined> {
    const cached = this.#cache.get(token);
    try {
      if (cached !== undefined) {
        const { size } = await this.#files.stat(this.#journal(token));
        if (Number(size) === cached.journalBytes) return cached;
      }
      const state = await readJournal(this.#files, this.#journal(token));
      if (state === undefined) return undefined;
      this.#cache.set(token, state);
      for (const [oldest] of this.#cache) {
        if (this.#cache.size <= cachedMax) break;
        this.#cache.delete(oldest);
      }
      return state;
    } catch (error) {
      this.#cache.delete(token);
      const missing = errnoOf(error) === "ENOENT";
      if (missing || (error instanceof OperationalError && error.code === "object_not_found")) {
        return undefined;
      }
      throw error;
    }
  }

  async *#all({ signal }: Call): AsyncGenerator<{
    readonly token: string;
    readonly file: string;
    readonly state: UploadState | undefined;
    readonly hasData: boolean;
  }> {
    for await (const entry of await during("list", this.#files.openFolder(this.#folder))) {
      signal.throwIfAborted();
      const [token, type] = [entry.name.slice(0, 36), entry.name.slice(36)];
      if (!entry.isFile() || !tokenPattern.test(token)) continue;
      if (type === ".journal") {
        const state = await this.#listed(token);
        const hasData = await this.#hasData(token);
        // Without a record the data is what tells of it, if there is data.
        if (state === "damaged" || (state === undefined && hasData)) continue;
        yield { token, file: entry.name, state, hasData };
      } else if (type === ".data") {
        const state = await this.#listed(token);
        if (state === undefined) yield { token, file: entry.name, state, hasData: true };
      }
    }
  }

  /** What cannot be read is nobody's rubbish, and hides no other from who looks through all of them. */
  async #listed(token: string): Promise<UploadState | "damaged" | undefined> {
    try {
      return await this.#load(token);
    } catch (error) {
      if (isOperationalError(error, "data_damaged")) return "damaged";
      throw error;
    }
  }

  async #withData<T>(token: string, run: (fd: number) => Promise<T>): Promise<T> {
    let fd: number;
    try {
      fd = await this.#files.open(this.#data(token), dataFlags);
    } catch (error) {
      if (errnoOf(error) === "ENOENT") throw notFound();
      return await during("open", Promise.reject<T>(error));
    }
    try {
      return await run(fd);
    } finally {
      await this.#files.close(fd).catch(ignore);
    }
  }

  async #hasData(token: string): Promise<boolean> {
    try {
      await this.#files.stat(this.#data(token));
      return true;
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return false;
      return await during("check", Promise.reject<boolean>(error));
    }
  }

  async #remove(token: string): Promise<void> {
    this.#cache.delete(token);
    // The data first: a journal without data is a left-over, data without a journal too.
    for (const path of [this.#data(token), this.#journal(token)]) {
      try {
        await this.#files.unlink(path);
      } catch (error) {
        if (errnoOf(error) !== "ENOENT") throw error;
      }
    }
  }

  async #openNew(path: string): Promise<number> {
    try {
      const flags = dataFlags | constants.O_CREAT | constants.O_EXCL;
      return await this.#files.open(path, flags, 0o640);
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
      throw new OperationalError("unavailable", "the storage is not mounted", { cause: error });
    }
  }

  #data(token: string): string {
    return join(this.#folder, `${token}.data`);
  }

  #journal(token: string): string {
    return join(this.#folder, `${token}.journal`);
  }
}

function lengthOf({ partBytes, parts: written }: UploadState, parts: readonly Part[]): number {
  const recorded = (partNumber: number) => {
    const part = written.get(partNumber);
    return part && { length: part.length, etag: part.crc };
  };
  return lengthOfParts(parts, { partBytes, recorded });
}

function partOf(partNumber: number, { length, crc }: { length: number; crc: string }): Part {
  const digests = { crc64nvme: new Uint8Array(Buffer.from(crc, "hex")) };
  return { partNumber, length, etag: crc, digests };
}

function invalidPart(message: string): OperationalError {
  return new OperationalError("invalid_part", message);
}

function notFound(): OperationalError {
  return new OperationalError("upload_not_found", "no such upload");
}
