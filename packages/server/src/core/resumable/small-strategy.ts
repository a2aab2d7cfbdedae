/**
 * Uploads so short that they come in one go: gathered, put and committed at once, as any other object,
 * and without a lease in the store. If the body breaks off, what came goes the way of long ones.
 */
import { freeChunk, giveChunk } from "../ports/given-chunks.ts";
import type { BlobHead } from "../ports/storage-driver.ts";
import type { Session, Strategy } from "./session.ts";

/** Above this a body is not gathered. */
export const smallBytesMax = 128 * 1024;
/** The writer of a client that lets one wait for longer needs a lease that other processes know. */
export const brieflyMs = 100;

export class SmallStrategy implements Strategy {
  readonly #session: Session;
  readonly #expectedBytes: number;
  readonly #otherwise: () => Strategy;
  #bytes: Uint8Array | undefined;
  #other: Strategy | undefined;

  /** `expectedBytes`: of the whole upload, of which nothing has come yet. */
  constructor(session: Session, expectedBytes: number, otherwise: () => Strategy) {
    this.#session = session;
    this.#expectedBytes = expectedBytes;
    this.#otherwise = otherwise;
  }

  async receive(): Promise<void> {
    const { incoming } = this.#session;
    const gathered = Buffer.allocUnsafeSlow(this.#expectedBytes);
    let filled = 0;
    for (;;) {
      if (!(await incoming.isReady(brieflyMs))) await this.#session.recordLease();
      const chunk = await incoming.next();
      if (chunk === undefined) break;
      if (filled + chunk.length > gathered.length) {
        // More than was said: who asked for the body judges that.
        incoming.unread(chunk);
        break;
      }
      gathered.set(chunk, filled);
      filled += chunk.length;
      freeChunk(chunk);
    }
    incoming.unread(gathered.subarray(0, filled));
    if (incoming.outcome === "whole" && filled === this.#expectedBytes) {
      this.#bytes = (await this.#session.take()) ?? new Uint8Array();
      return;
    }
    await this.#session.recordLease();
    await this.#long().receive();
  }

  async settle(): Promise<void> {
    if (this.#bytes === undefined) return this.#long().settle();
    throw new Error("a body that came whole is finished, not settled");
  }

  async finish(): Promise<BlobHead> {
    const session = this.#session;
    if (this.#bytes === undefined) return this.#long().finish();
    const { length } = this.#bytes;
    // Its sums are computed, and nobody looks at it after the storage.
    giveChunk(this.#bytes);
    return await session.storage.put(session.place.blobKey, once(this.#bytes), {
      length,
      digests: { crc64nvme: session.crc64nvme },
      signal: session.signal,
    });
  }

  async close(): Promise<void> {
    this.#bytes = undefined;
    await this.#other?.close();
  }

  #long(): Strategy {
    this.#other ??= this.#otherwise();
    return this.#other;
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  if (bytes.length > 0) yield bytes;
}
