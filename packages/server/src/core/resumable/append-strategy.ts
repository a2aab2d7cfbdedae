/**
 * Storages that take bytes in place (`posix`): a body goes straight to where it stays. It is made durable
 * and recorded every so many bytes or seconds, so that a crash in the middle costs no more than those.
 * Recording waits for the disk, and the client for it: so who is fast is recorded by time.
 */
import { strict as assert } from "node:assert";
import { MiB } from "@roma/contract";
import type { BlobHead, Body, PartWrites, UploadAddress } from "../ports/storage-driver.ts";
import type { Session, Strategy } from "./session.ts";

/** Both of them, … */
const segmentBytesMin = 32 * MiB;
const segmentMsMin = 500;
/** … or this alone, … */
const segmentMsMax = 10_000;
/** … or as soon as the client says nothing for so long: then no call waits for it, either. */
const silentMs = 2_000;
/** Unused by appends; every driver that appends takes it. */
const partBytes = 8 * MiB;

type Appending = PartWrites & { readonly append: NonNullable<PartWrites["append"]> };

export class AppendStrategy implements Strategy {
  readonly #session: Session;
  readonly #parts: Appending;

  constructor(session: Session, parts: Appending) {
    this.#session = session;
    this.#parts = parts;
  }

  async receive(): Promise<void> {
    const session = this.#session;
    for (;;) {
      const first = await session.incoming.next();
      if (first === undefined) return;
      session.incoming.unread(first);
      const address = await this.#address();
      const from = session.received;
      const end = await this.#parts.append(address, from, this.#segment(), {
        signal: session.signal,
      });
      assert.equal(end, session.received, "the storage holds as many bytes as passed");
      // The last piece is recorded by whoever knows what it ends.
      if (session.incoming.outcome === "open") await session.commit(session.sums.state());
    }
  }

  async settle(): Promise<void> {
    // Every append is durable when it returns.
  }

  async finish(): Promise<BlobHead> {
    const session = this.#session;
    const address = await this.#address();
    await session.commit(session.sums.state());
    const { signal } = session;
    return await this.#parts.complete(address, [], { signal, length: session.received });
  }

  async close(): Promise<void> {
    // Nothing is held between calls.
  }

  async #address(): Promise<UploadAddress> {
    const session = this.#session;
    const { blobKey, token } = session.place;
    if (token !== null) return { key: blobKey, token };
    const { signal } = session;
    const made = await this.#parts.create(blobKey, { partBytes, signal });
    await session.recordToken(made, this.#parts);
    return made;
  }

  async *#segment(): Body {
    const session = this.#session;
    const from = session.received;
    const startedMs = session.clock.monotonicMs();
    for (;;) {
      const chunk = await session.take();
      if (chunk === undefined) return;
      yield chunk;
      const ms = session.clock.monotonicMs() - startedMs;
      const isLong = session.received - from >= segmentBytesMin && ms >= segmentMsMin;
      if (isLong || ms >= segmentMsMax) return;
      if (!(await session.incoming.isReady(silentMs))) return;
    }
  }
}
