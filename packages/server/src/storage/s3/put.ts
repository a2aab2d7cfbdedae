// How a body becomes an object. Of known length and provable by its ETag: one streamed request. Short:
// gathered in a buffer and sent with its MD5. Long or of unknown length: in parts, from buffers of the
// process's one budget, two on their way at a time.
//
// A body is pulled once, so only this place can repeat what failed: what lies in a buffer is sent again by
// the way that the retry layer gives, within its budget. Whatever ends a put before its completion cancels its upload.

import { MiB } from "@roma/contract";
import { OperationalError } from "../../core/errors.ts";
import { freeChunk } from "../../core/ports/given-chunks.ts";
import type {
  BlobHead,
  Body,
  PutOptions,
  Repeat,
  UploadAddress,
} from "../../core/ports/storage-driver.ts";
import { receive } from "../receive.ts";
import { createOnlyHeaders, once, type S3Context, storedKey } from "./context.ts";
import { classifyConnection } from "./errors.ts";
import {
  cancelUpload,
  completeUpload,
  createUpload,
  type WrittenPart,
  writePart,
} from "./multipart.ts";
import { putBytes, putStream } from "./objects.ts";
import { smallBufferBytes } from "./part-buffers.ts";
import { StreamedBody } from "./streamed-body.ts";

const inFlightMax = 2;

/** All or nothing; the source's own failure passes through. */
export async function put(
  context: S3Context,
  key: string,
  body: Body,
  options: PutOptions,
): Promise<BlobHead> {
  storedKey(context, key);
  createOnlyHeaders(context, options.createOnly);
  const { length } = options;
  if (length !== undefined && isStreamed(context, { ...options, length })) {
    return await streamed(context, key, body, { ...options, length });
  }
  const gathered = new GatheredPut(context, key, options);
  try {
    await receive(body, { signal: options.signal, length, take: (chunk) => gathered.take(chunk) });
    return await gathered.finish();
  } catch (error) {
    await gathered.abandon();
    throw options.signal.aborted ? options.signal.reason : error;
  }
}

type KnownPut = PutOptions & { readonly length: number };

function isStreamed(context: S3Context, { length, createOnly }: KnownPut): boolean {
  const { dialect, etagIsMd5, streamBytesMax } = context;
  if (length <= smallBufferBytes || length > dialect.putBytesMax || !etagIsMd5) return false;
  const needsOne = createOnly === true && !dialect.conditionalComplete;
  return length <= streamBytesMax || needsOne;
}

async function streamed(
  context: S3Context,
  key: string,
  body: Body,
  options: KnownPut,
): Promise<BlobHead> {
  const { dialect } = context;
  const withCrc = dialect.crc64EcmaHeader !== undefined;
  const passing = new StreamedBody(body, options.length, { withCrc });
  try {
    return await putStream(context, key, passing, options);
  } catch (error) {
    if (options.signal.aborted) throw options.signal.reason;
    if (passing.failure !== undefined) throw passing.failure.error;
    throw classifyConnection(error, "put");
  } finally {
    passing.stop();
  }
}

/** Of a put that has no buffer yet. */
const waitForMemoryMsMax = 10_000;

class GatheredPut {
  readonly #context: S3Context;
  readonly #key: string;
  readonly #options: PutOptions;
  readonly #partBytes: number;
  readonly #failing = new AbortController();
  readonly #signal: AbortSignal;
  readonly #repeat: Repeat;
  #buffer: Buffer | undefined;
  #filled = 0;
  #upload: UploadAddress | undefined;
  #creating: Promise<UploadAddress> | undefined;
  readonly #parts: WrittenPart[] = [];
  readonly #inFlight = new Set<Promise<void>>();
  #sent = 0;
  #failure: { readonly error: unknown } | undefined;
  #ended = false;

  constructor(context: S3Context, key: string, options: PutOptions) {
    this.#context = context;
    this.#key = key;
    this.#options = options;
    this.#partBytes = partBytesOf(context, options.length);
    this.#repeat = options.repeat ?? once;
    this.#signal = AbortSignal.any([options.signal, this.#failing.signal]);
  }

  /** A promise where the chunk has to wait for a buffer. */
  take(chunk: Uint8Array): Promise<void> | undefined {
    const room = (this.#buffer?.length ?? 0) - this.#filled;
    if (this.#buffer === undefined || chunk.length > room) return this.#spread(chunk);
    this.#buffer.set(chunk, this.#filled);
    this.#filled += chunk.length;
    freeChunk(chunk);
    return undefined;
  }

  /** Everything was taken: sends what is left and completes. */
  async finish(): Promise<BlobHead> {
    const { signal, createOnly = false } = this.#options;
    if (this.#sent === 0) return await this.#putWhole();
    await this.#send();
    while (this.#inFlight.size > 0) await this.#oneEnds();
    this.#throwFailure();
    if (this.#upload === undefined) throw new Error("an upload that was never created");
    const head = await completeUpload(this.#context, this.#upload, this.#parts, {
      signal,
      createOnly,
    });
    this.#ended = true;
    return head;
  }

  /** Nothing of it stays: neither a buffer nor an upload. */
  async abandon(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    this.#failing.abort(this.#failure?.error ?? new Error("the put was abandoned"));
    this.#giveBuffer();
    const inFlight = [...this.#inFlight];
    const creating = this.#creating;
    if (creating === undefined) return;
    await this.#context.cleanups.run(async (signal) => {
      await Promise.allSettled(inFlight);
      const upload = await creating.catch(() => undefined);
      if (upload !== undefined) await cancelUpload(this.#context, upload, { signal });
    });
  }

  async #spread(chunk: Uint8Array): Promise<void> {
    let from = 0;
    while (from < chunk.length) {
      if (this.#buffer === undefined || this.#filled === this.#buffer.length) {
        await this.#makeRoom(chunk.length - from);
      }
      const buffer = this.#buffer;
      if (buffer === undefined) throw new Error("a put that has ended");
      const count = Math.min(chunk.length - from, buffer.length - this.#filled);
      buffer.set(chunk.subarray(from, from + count), this.#filled);
      this.#filled += count;
      from += count;
    }
    freeChunk(chunk);
  }

  /** A buffer with room: the first small one, then one of a part, then another when that is full. */
  async #makeRoom(needed: number): Promise<void> {
    const { buffers } = this.#context;
    const full = this.#buffer;
    if (full !== undefined && this.#filled >= this.#partBytes) await this.#send();
    const held = this.#inFlight.size;
    const small = full === undefined && this.#sent === 0 && this.#isShort(needed);
    const bytes = small ? smallBufferBytes : this.#partBytes;
    const isNew = full === undefined && this.#sent === 0;
    const buffer = await this.#take(Math.min(bytes, this.#partBytes), held, isNew);
    if (this.#ended) {
      buffers.give(buffer);
      throw this.#signal.reason;
    }
    if (this.#buffer !== undefined) {
      this.#buffer.copy(buffer, 0, 0, this.#filled);
      buffers.give(this.#buffer);
    }
    this.#buffer = buffer;
  }

  /** What has not begun is refused after a while; what has waits, since it would be lost. */
  async #take(bytes: number, held: number, isNew: boolean): Promise<Buffer> {
    try {
      const waitMsMax = isNew ? waitForMemoryMsMax : undefined;
      return await this.#context.buffers.take(bytes, this.#signal, held, waitMsMax);
    } catch (error) {
      this.#throwFailure();
      throw error;
    }
  }

  #isShort(needed: number): boolean {
    const { length = needed } = this.#options;
    return Math.max(length, needed) <= smallBufferBytes;
  }

  /** Puts the buffer on its way, once there is a way. */
  async #send(): Promise<void> {
    const buffer = this.#buffer;
    if (buffer === undefined || this.#filled === 0) return;
    const partNumber = this.#sent + 1;
    if (partNumber > this.#context.dialect.partsMax) throw this.#tooLong();
    const { createOnly = false } = this.#options;
    if (createOnly && !this.#context.dialect.conditionalComplete) {
      const message = "createOnly of a body of unknown length that is longer than one part";
      throw new OperationalError("unsupported", message);
    }
    this.#creating ??= createUpload(this.#context, this.#key, {
      ...this.#options,
      signal: this.#signal,
    });
    const upload = await this.#creating;
    this.#upload = upload;
    while (this.#inFlight.size >= inFlightMax) await this.#oneEnds();
    this.#throwFailure();
    // While it waited, the put may have been given up, and the buffer with it.
    if (this.#ended) throw this.#signal.reason;
    this.#sent = partNumber;
    const bytes = buffer.subarray(0, this.#filled);
    this.#buffer = undefined;
    this.#filled = 0;
    const running = this.#write(upload, partNumber, bytes).finally(() => {
      this.#context.buffers.give(buffer);
      this.#inFlight.delete(running);
    });
    this.#inFlight.add(running);
  }

  /** Never rejects: the failure is kept for whoever waits next. */
  async #write(upload: UploadAddress, partNumber: number, bytes: Uint8Array): Promise<void> {
    const signal = this.#signal;
    try {
      const part = { partNumber, bytes, signal };
      this.#parts.push(await this.#repeat(signal, () => writePart(this.#context, upload, part)));
    } catch (error) {
      this.#failure ??= { error: classifyConnection(error, "writePart") };
      this.#failing.abort(this.#failure.error);
    }
  }

  async #oneEnds(): Promise<void> {
    await Promise.race(this.#inFlight);
    this.#throwFailure();
  }

  async #putWhole(): Promise<BlobHead> {
    const bytes = this.#buffer?.subarray(0, this.#filled) ?? Buffer.alloc(0);
    const options = { ...this.#options, signal: this.#signal };
    const send = (): Promise<BlobHead> => putBytes(this.#context, this.#key, bytes, options);
    try {
      // A repeated createOnly would meet what its own first attempt may have stored.
      const head =
        options.createOnly === true ? await send() : await this.#repeat(this.#signal, send);
      this.#ended = true;
      this.#giveBuffer();
      return head;
    } catch (error) {
      throw classifyConnection(error, "put");
    }
  }

  #giveBuffer(): void {
    if (this.#buffer !== undefined) this.#context.buffers.give(this.#buffer);
    this.#buffer = undefined;
  }

  #throwFailure(): void {
    if (this.#failure !== undefined && !this.#options.signal.aborted) throw this.#failure.error;
  }

  #tooLong(): OperationalError {
    const bytes = this.#partBytes * this.#context.dialect.partsMax;
    const message = `more than ${bytes} bytes; larger parts would allow more`;
    return new OperationalError("too_large", message, { context: { limit: bytes } });
  }
}

/** Parts of the settings' size, or larger where so many would not do; `too_large` past all buffers. */
function partBytesOf({ dialect, partBytes, buffers }: S3Context, length = 0): number {
  const needed = Math.ceil(length / dialect.partsMax / MiB) * MiB;
  const bytes = Math.max(partBytes, needed);
  const limit = Math.min(buffers.largeBytesMax, dialect.partBytesMax);
  if (bytes <= limit) return bytes;
  const message = `more than ${limit * dialect.partsMax} bytes`;
  throw new OperationalError("too_large", message, {
    context: { limit: limit * dialect.partsMax },
  });
}
