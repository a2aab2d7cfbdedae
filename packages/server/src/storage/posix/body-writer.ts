// Writes the chunks of a body to a file at explicit offsets: many at once, since each write has to wake a
// thread. While one write runs, the next chunks are gathered, and a bounded count of bytes waits. Small
// chunks are copied together into a pooled buffer, so that a slow client's small reads do not keep large
// ones alive.

import { freeChunk } from "../../core/ports/given-chunks.ts";
import { bufferBytes, isReused, returnBuffer, takeBuffer } from "./buffers.ts";
import { during } from "./errors.ts";
import type { Files } from "./files.ts";

const KiB = 1024;
const MiB = 1024 * KiB;
/** Chunks below this are copied. */
const smallBytes = 16 * KiB;
/** What may wait of one body, where few are being written; many share `outstandingAllMax`. */
const outstandingMax = 512 * KiB;
const outstandingMin = 64 * KiB;
const outstandingAllMax = 16 * MiB;
/** A long body is synced as it comes, so that the last sync, which the client waits for, is short. */
const syncEveryBytes = 32 * MiB;

interface Piece {
  readonly bytes: Uint8Array;
  /** The pooled buffer that the bytes lie in, to be given back after the write. */
  readonly buffer: Uint8Array | undefined;
}

let writerCount = 0;

function outstandingShare(): number {
  return Math.min(outstandingMax, Math.max(outstandingMin, outstandingAllMax / writerCount));
}

export class BodyWriter {
  readonly #fd: number;
  readonly #files: Files;
  #gathering: Uint8Array | undefined;
  #gathered = 0;
  #queue: Piece[] = [];
  #queued = 0;
  #outstanding = 0;
  #ending = false;
  #left = false;
  #position: number;
  #syncedTo: number;
  #syncing: Promise<void> | undefined;
  #failure: { readonly error: unknown } | undefined;
  #writing: Promise<void> | undefined;
  #roomWaiter: (() => void) | undefined;

  constructor(fd: number, files: Files, position = 0) {
    this.#fd = fd;
    this.#files = files;
    this.#position = position;
    this.#syncedTo = position;
    writerCount += 1;
  }

  /** Takes a chunk. A promise: wait for it before the next; it rejects if a write failed. */
  add(chunk: Uint8Array): Promise<void> | undefined {
    if (this.#failure !== undefined) return this.#room();
    if (chunk.length < smallBytes || isReused(chunk)) {
      this.#copy(chunk);
      freeChunk(chunk);
    } else {
      this.#seal();
      this.#push({ bytes: chunk, buffer: undefined });
    }
    return this.#outstanding >= outstandingShare() ? this.#room() : undefined;
  }

  /** Everything that was added is written and synced. A failed sync is final: it is not repeated. */
  async finish(): Promise<void> {
    this.#seal();
    this.#ending = true;
    if (this.#isEnough) this.#writing ??= this.#write();
    await this.#idle();
    await this.#syncing;
    this.#throwFailure();
    this.#leave();
    await during("sync", this.#files.syncData(this.#fd));
  }

  /** No call on the descriptor runs any more; what was gathered is dropped. Never rejects. */
  async stop(): Promise<void> {
    this.#leave();
    this.#failure ??= { error: new Error("the body writer was stopped") };
    this.#dropQueue();
    if (this.#gathering !== undefined) returnBuffer(this.#gathering);
    this.#gathering = undefined;
    await this.#writing;
    await this.#syncing;
  }

  #leave(): void {
    if (!this.#left) writerCount -= 1;
    this.#left = true;
  }

  #copy(chunk: Uint8Array): void {
    let from = 0;
    while (from < chunk.length) {
      this.#gathering ??= takeBuffer();
      const count = Math.min(chunk.length - from, bufferBytes - this.#gathered);
      const all = count === chunk.length;
      this.#gathering.set(all ? chunk : chunk.subarray(from, from + count), this.#gathered);
      this.#gathered += count;
      from += count;
      if (this.#gathered === bufferBytes) this.#seal();
    }
  }

  #seal(): void {
    const buffer = this.#gathering;
    if (buffer === undefined) return;
    this.#push({ bytes: buffer.subarray(0, this.#gathered), buffer });
    this.#gathering = undefined;
    this.#gathered = 0;
  }

  #push(piece: Piece): void {
    this.#queue.push(piece);
    this.#queued += piece.bytes.length;
    this.#outstanding += piece.bytes.length;
    if (this.#isEnough) this.#writing ??= this.#write();
  }

  /** Half of what may wait: the other half is gathered meanwhile. */
  get #isEnough(): boolean {
    if (this.#queued === 0 || this.#failure !== undefined) return false;
    return this.#ending || this.#queued >= outstandingShare() / 2;
  }

  // Never rejects: a failure is kept for the next call of `add` or `finish`.
  async #write(): Promise<void> {
    while (this.#isEnough) {
      const pieces = this.#queue;
      this.#queue = [];
      this.#queued = 0;
      try {
        await this.#writeAll(pieces.map((piece) => piece.bytes));
      } catch (error) {
        this.#failure ??= { error };
      }
      for (const { bytes, buffer } of pieces) {
        this.#outstanding -= bytes.length;
        if (buffer === undefined) freeChunk(bytes);
        else returnBuffer(buffer);
      }
      this.#syncBehind();
      this.#wakeRoomWaiter();
    }
    if (this.#failure !== undefined) this.#dropQueue();
    this.#writing = undefined;
    this.#wakeRoomWaiter();
  }

  async #writeAll(pieces: readonly Uint8Array[]): Promise<void> {
    let rest = pieces;
    while (rest.length > 0) {
      const count = await during("write", this.#files.write(this.#fd, rest, this.#position));
      this.#position += count;
      rest = skip(rest, count);
    }
  }

  #syncBehind(): void {
    if (this.#syncing !== undefined || this.#position - this.#syncedTo < syncEveryBytes) return;
    if (this.#failure !== undefined) return;
    this.#syncedTo = this.#position;
    this.#syncing = during("sync", this.#files.syncData(this.#fd)).then(
      () => {
        this.#syncing = undefined;
      },
      (error: unknown) => {
        this.#failure ??= { error };
        this.#syncing = undefined;
      },
    );
  }

  async #room(): Promise<void> {
    if (this.#failure === undefined && this.#outstanding >= outstandingShare()) {
      await new Promise<void>((resolve) => {
        this.#roomWaiter = resolve;
      });
    }
    this.#throwFailure();
  }

  #wakeRoomWaiter(): void {
    const wake = this.#roomWaiter;
    this.#roomWaiter = undefined;
    wake?.();
  }

  async #idle(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  #dropQueue(): void {
    for (const { bytes, buffer } of this.#queue) {
      this.#outstanding -= bytes.length;
      if (buffer !== undefined) returnBuffer(buffer);
    }
    this.#queue = [];
    this.#queued = 0;
  }
}

/** The pieces without their first bytes. */
function skip(pieces: readonly Uint8Array[], count: number): readonly Uint8Array[] {
  const rest: Uint8Array[] = [];
  let left = count;
  for (const piece of pieces) {
    if (left >= piece.length) {
      left -= piece.length;
      continue;
    }
    rest.push(left === 0 ? piece : piece.subarray(left));
    left = 0;
  }
  return rest;
}
