/**
 * Storages that take numbered parts (the S3 family). Bytes are gathered to a part in memory from the
 * one budget, and sent while the next part is gathered. What is fewer than a part when the client stops
 * becomes a blob of its own, a tail; tails are joined to a part once there are enough bytes, so that any
 * process can go on and no disk is needed.
 *
 * Small first, then as large as a part: a slow client holds little. Whoever has held a large buffer for
 * long without filling it stores what is in it and lets others have the memory. Nobody waits for a
 * buffer while holding one of the budget: so nobody waits for ever.
 */
import { strict as assert } from "node:assert";
import { KiB, MiB } from "@roma/contract";
import { crc64Nvme, crc64NvmeToBytes } from "../digests/crc64-nvme.ts";
import { OperationalError } from "../errors.ts";
import type { BlobHead, Part, PartWrites, UploadAddress } from "../ports/storage-driver.ts";
import type { UploadPart, UploadTail } from "../ports/upload-store.ts";
import type { Session, Strategy } from "./session.ts";

/** Of every upload that is being received, outside of the budget. */
const smallBytes = 64 * KiB;
const middleBytes = MiB;
const partBytesDefault = 8 * MiB;
/** A larger buffer that was not there after so long is not waited for. */
const patienceMs = 2_000;
/** A buffer of the budget that is not full after so long is emptied. */
const holdMsMax = 10_000;
/** … or if nothing comes for so long. */
const stalledMs = 2_000;
/** More tails than these are joined to one. */
const tailsMax = 64;

export class PartStrategy implements Strategy {
  readonly #session: Session;
  readonly #api: PartWrites;
  readonly #partBytes: number;
  #buffer: Buffer | undefined;
  #isPooled = false;
  #heldSinceMs = 0;
  #filled = 0;
  /** The part that is being sent; its record follows in the order of parts. */
  #sending: Promise<void> | undefined;

  constructor(session: Session, api: PartWrites) {
    this.#session = session;
    this.#api = api;
    this.#partBytes = session.place.partBytes ?? partBytesFor(session, api);
    session.place = { ...session.place, partBytes: this.#partBytes };
  }

  async receive(): Promise<void> {
    const session = this.#session;
    for (;;) {
      const chunk = await session.incoming.next();
      if (chunk === undefined) break;
      session.incoming.unread(chunk);
      await this.#gather();
    }
    await this.#sent();
  }

  async settle(): Promise<void> {
    await this.#storeTail();
  }

  async finish(): Promise<BlobHead> {
    const session = this.#session;
    await this.#sent();
    if (session.tails.length > 0 && this.#filled > 0) await this.#storeTail();
    if (session.parts.length === 0) return await this.#putWhole();
    if (session.tails.length > 0) await this.#joinTails();
    if (this.#filled > 0 && this.#buffer !== undefined) {
      const part = await this.#send(this.#buffer.subarray(0, this.#filled));
      session.note({ add: [part] });
      this.#giveUpBuffer();
    }
    await session.commit(session.sums.state());
    const { parts, signal } = session;
    return await this.#api.complete(await this.#address(), parts.map(partOf), {
      signal,
      length: session.received,
      digests: { crc64nvme: session.crc64nvme },
    });
  }

  async close(): Promise<void> {
    await this.#sending?.catch(() => undefined);
    this.#sending = undefined;
    this.#giveUpBuffer();
  }

  /** Takes chunks until a buffer was full, or there are no more. */
  async #gather(): Promise<void> {
    const session = this.#session;
    // Tails that were to be joined when something failed.
    if (this.#missing() === 0) return this.#full();
    for (;;) {
      const room = Math.min(await this.#room(), this.#missing());
      if (this.#isPooled && !(await session.incoming.isReady(stalledMs))) {
        return this.#storeTail();
      }
      const chunk = await session.incoming.next();
      if (chunk === undefined) return;
      const piece = chunk.length > room ? chunk.subarray(0, room) : chunk;
      session.incoming.unread(chunk.subarray(piece.length));
      session.incoming.unread(piece);
      const taken = await session.take();
      assert(taken === piece && this.#buffer !== undefined, "the piece that was put back");
      this.#buffer.set(taken, this.#filled);
      this.#filled += taken.length;
      if (this.#missing() === 0) return this.#full();
      const heldMs = session.clock.monotonicMs() - this.#heldSinceMs;
      if (this.#isPooled && heldMs > holdMsMax) return this.#storeTail();
    }
  }

  /** Bytes until there is a whole part. */
  #missing(): number {
    return this.#partBytes - this.#tailBytes() - this.#filled;
  }

  #tailBytes(): number {
    return this.#session.tails.reduce((sum, { length }) => sum + length, 0);
  }

  /** Room in the buffer, which grows. */
  async #room(): Promise<number> {
    for (;;) {
      if (this.#buffer === undefined) {
        this.#buffer = Buffer.allocUnsafeSlow(Math.min(smallBytes, this.#partBytes));
        this.#isPooled = false;
      }
      const room = this.#buffer.length - this.#filled;
      if (room > 0) return room;
      const wanted = this.#buffer.length < middleBytes ? middleBytes : this.#partBytes;
      if (!(await this.#grow(Math.min(wanted, this.#partBytes)))) await this.#storeTail();
    }
  }

  async #grow(bytes: number): Promise<boolean> {
    // Who holds memory that others may wait for stores what it has if there is no more at once.
    const larger = await this.#takeBuffer(bytes, this.#isPooled ? 50 : patienceMs);
    if (larger === undefined) return false;
    this.#move(larger, this.#buffer);
    return true;
  }

  #move(larger: Buffer, smaller: Buffer | undefined): void {
    smaller?.copy(larger, 0, 0, this.#filled);
    if (smaller !== undefined && this.#isPooled) this.#session.buffers.give(smaller);
    this.#buffer = larger;
    this.#isPooled = true;
    this.#heldSinceMs = this.#session.clock.monotonicMs();
  }

  async #takeBuffer(bytes: number, waitMs: number): Promise<Buffer | undefined> {
    const wait = AbortSignal.timeout(waitMs);
    try {
      return await this.#session.buffers.take(bytes, AbortSignal.any([wait, this.#session.signal]));
    } catch (error) {
      if (wait.aborted && !this.#session.signal.aborted) return undefined;
      throw error;
    }
  }

  /** There are bytes for a whole part. */
  async #full(): Promise<void> {
    if (this.#session.tails.length > 0) {
      // Its own bytes first: then it holds nothing while it waits for room for all of them.
      await this.#storeTail();
      await this.#sent();
      await this.#joinTails();
      return;
    }
    // Received while the part before was on its way; sent after it, recorded in order.
    await this.#sent();
    const { buffer, isPooled } = { buffer: this.#buffer, isPooled: this.#isPooled };
    assert(buffer !== undefined);
    const bytes = buffer.subarray(0, this.#filled);
    const checks = this.#session.sums.state();
    this.#buffer = undefined;
    this.#filled = 0;
    const giveBack = (): void => {
      if (isPooled) this.#session.buffers.give(buffer);
    };
    this.#sending = this.#send(bytes)
      .finally(giveBack)
      .then(async (part) => {
        this.#session.note({ add: [part] });
        await this.#session.commit(checks);
      });
    // Whoever waits for it learns of a failure; nobody else must.
    this.#sending.catch(() => undefined);
    // The next buffer at once at full size, if there is one: this client is fast.
    const next = isPooled ? await this.#takeBuffer(this.#partBytes, 20) : undefined;
    if (next !== undefined) this.#move(next, undefined);
  }

  async #sent(): Promise<void> {
    const sending = this.#sending;
    this.#sending = undefined;
    await sending;
  }

  async #send(bytes: Uint8Array): Promise<UploadPart> {
    const session = this.#session;
    const number = session.parts.length + 1;
    const last = session.parts.at(-1);
    if (number > this.#api.partsMax) throw tooManyParts(this.#partBytes * this.#api.partsMax);
    const address = await this.#address();
    const crc64nvme = crc64NvmeToBytes(crc64Nvme(bytes));
    const part = await this.#api.writePart(address, number, bytes, {
      digests: { crc64nvme },
      signal: session.signal,
    });
    const offset = last === undefined ? 0 : last.offset + last.length;
    const { etag, length, digests } = part;
    return { kind: "part", number, offset, length, etag, digests: { ...digests, crc64nvme } };
  }

  /** What is in the buffer becomes a blob of its own, and is recorded. */
  async #storeTail(): Promise<void> {
    await this.#sent();
    const session = this.#session;
    if (this.#filled > 0 && this.#buffer !== undefined) {
      const bytes = this.#buffer.subarray(0, this.#filled);
      session.note({ add: [await this.#putTail(bytes)] });
      this.#giveUpBuffer();
      if (session.tails.length > tailsMax) {
        // Recorded first, for the bytes are read from there.
        await session.commit(session.sums.state());
        await this.#compactTails();
      }
    }
    await session.commit(session.sums.state());
  }

  async #putTail(bytes: Uint8Array): Promise<UploadTail> {
    const session = this.#session;
    const crc64nvme = crc64NvmeToBytes(crc64Nvme(bytes));
    const blobKey = session.newBlobKey();
    await session.storage.put(blobKey, once(bytes), {
      length: bytes.length,
      digests: { crc64nvme },
      signal: session.signal,
    });
    const last = session.tails.at(-1);
    const lastPart = session.parts.at(-1);
    const offset = (last ?? lastPart) === undefined ? 0 : endOf(last ?? lastPart);
    const number = (last?.number ?? 0) + 1;
    return { kind: "tail", number, offset, length: bytes.length, blobKey, digests: { crc64nvme } };
  }

  /** All tails become the next part. */
  async #joinTails(): Promise<void> {
    const session = this.#session;
    await this.#withTails(async (bytes) => {
      const part = await this.#send(bytes);
      session.note({ add: [part], dropTails: true });
      await session.commit(session.sums.state());
    });
  }

  /** All tails become one, with a number after theirs. */
  async #compactTails(): Promise<void> {
    const session = this.#session;
    await this.#withTails(async (bytes) => {
      const first = session.tails[0];
      const tail = await this.#putTail(bytes);
      session.note({ dropTails: true, add: [{ ...tail, offset: first?.offset ?? 0 }] });
    });
  }

  /** The bytes of all tails; this one must hold no buffer. */
  async #withTails(use: (bytes: Buffer) => Promise<void>): Promise<void> {
    const session = this.#session;
    const length = this.#tailBytes();
    const buffer = await session.buffers.take(length, session.signal);
    try {
      let filled = 0;
      for (const tail of session.tails) {
        const expected = { length: tail.length, crc64nvme: tail.digests.crc64nvme };
        const { body } = await session.storage.get(tail.blobKey, {
          expected,
          signal: session.signal,
        });
        await using reading = body;
        for await (const chunk of reading) {
          buffer.set(chunk, filled);
          filled += chunk.length;
        }
      }
      assert.equal(filled, length, "the tails as they were recorded");
      await use(buffer);
    } finally {
      session.buffers.give(buffer);
    }
  }

  /** Fewer bytes than a part: no parts are needed at all. */
  async #putWhole(): Promise<BlobHead> {
    const session = this.#session;
    const { blobKey } = session.place;
    const put = async (bytes: Uint8Array): Promise<BlobHead> =>
      await session.storage.put(blobKey, once(bytes), {
        length: bytes.length,
        digests: { crc64nvme: session.crc64nvme },
        signal: session.signal,
      });
    if (session.tails.length === 0) {
      return await put(this.#buffer?.subarray(0, this.#filled) ?? new Uint8Array());
    }
    // The place is known before anything is at it: a crash leaves nothing that no row names.
    await session.recordPlace(session.place);
    let head: BlobHead | undefined;
    await this.#withTails(async (bytes) => {
      head = await put(bytes);
    });
    assert(head !== undefined);
    return head;
  }

  async #address(): Promise<UploadAddress> {
    const session = this.#session;
    const { blobKey, token } = session.place;
    if (token !== null) return { key: blobKey, token };
    const { signal } = session;
    const made = await this.#api.create(blobKey, { partBytes: this.#partBytes, signal });
    await session.recordToken(made, this.#api);
    return made;
  }

  #giveUpBuffer(): void {
    if (this.#buffer !== undefined && this.#isPooled) this.#session.buffers.give(this.#buffer);
    this.#buffer = undefined;
    this.#isPooled = false;
    this.#filled = 0;
  }
}

/** So large that the whole fits into as many parts as the storage takes; the same for all of them. */
function partBytesFor(session: Session, api: PartWrites): number {
  const { length } = session.upload;
  const least = Math.max(session.partBytesLeast ?? partBytesDefault, api.partBytesMin);
  const most = Math.min(api.partBytesMax, session.buffers.largeBytesMax);
  // Of unknown length: room for twice what fits into parts of the least size.
  const fits = length !== null && length <= least * api.partsMax;
  const needed = length === null ? least * 2 : Math.ceil(length / api.partsMax / MiB) * MiB;
  const bytes = Math.min(fits ? least : needed, most);
  if (length !== null && bytes * api.partsMax < length) {
    throw tooManyParts(bytes * api.partsMax);
  }
  return bytes;
}

function tooManyParts(maxBytes: number): OperationalError {
  const message = `a resumable upload to this storage has at most ${maxBytes} bytes`;
  return new OperationalError("too_large", message, { context: { maxBytes } });
}

function endOf(segment: { readonly offset: number; readonly length: number } | undefined): number {
  return segment === undefined ? 0 : segment.offset + segment.length;
}

function partOf({ number, length, etag, digests }: UploadPart): Part {
  return { partNumber: number, length, etag, digests };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  if (bytes.length > 0) yield bytes;
}
