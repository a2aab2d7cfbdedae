// The body of a get: exactly as many bytes as were announced, or an error. A connection that breaks
// never looks like the end.

import type { Dispatcher } from "undici";
import { OperationalError } from "../../core/errors.ts";
import type { ObjectBody } from "../../core/ports/storage-driver.ts";
import { classifyConnection } from "./errors.ts";

export interface AnswerBodyOptions {
  readonly length: number;
  readonly signal: AbortSignal;
}

export class AnswerBody implements ObjectBody {
  readonly #body: Dispatcher.ResponseData["body"];
  readonly #options: AnswerBodyOptions;

  constructor(body: Dispatcher.ResponseData["body"], options: AnswerBodyOptions) {
    this.#body = body;
    this.#options = options;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    const { length, signal } = this.#options;
    let received = 0;
    try {
      signal.throwIfAborted();
      for await (const chunk of this.#body) {
        if (!Buffer.isBuffer(chunk)) continue;
        received += chunk.length;
        yield chunk;
      }
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      throw classifyConnection(error, "get");
    }
    if (signal.aborted) throw signal.reason;
    if (received !== length) {
      throw new OperationalError("unavailable", `the storage gave ${received} of ${length} bytes`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#body.closed) return;
    const closed = new Promise<void>((resolve) => {
      this.#body.once("close", resolve);
    });
    this.#body.destroy();
    await closed;
  }
}
