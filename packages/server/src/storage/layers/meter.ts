// Counts and times what a storage does. Nothing is counted per chunk: a body adds up in a variable and
// is reported when it ends.

import { isOperationalError } from "../../core/errors.ts";
import type { Clock } from "../../core/ports/clock.ts";
import { systemClock } from "../../core/ports/clock.ts";
import type { Meter } from "../../core/ports/meter.ts";
import type {
  BlobHead,
  Body,
  Call,
  ObjectBody,
  StorageDriver,
  StorageLayer,
} from "../../core/ports/storage-driver.ts";
import { forward, forwardParts } from "./forward.ts";
import { layeredBody } from "./layered-body.ts";

/**
 * The layer. `storage_calls_total` by operation and outcome (`ok`, `aborted` or an error code),
 * `storage_call_seconds`, `storage_calls_running`, `storage_first_byte_seconds` of bodies and the
 * first item of lists by operation, `storage_written_bytes_total`, `storage_read_bytes_total`; all by
 * storage.
 */
export const metered =
  (meter: Meter, clock: Clock = systemClock): StorageLayer =>
  (inner) => {
    const gauges = new Gauges(inner, meter, clock);
    const run = <T>(operation: string, call: Call, body: () => Promise<T>): Promise<T> =>
      gauges.run(operation, call.signal, body);
    return forward(inner, {
      put: (key, body, given) =>
        gauges.write("put", body, given.signal, (passing) => inner.put(key, passing, given)),
      get: (key, given) => gauges.get(given.signal, () => inner.get(key, given)),
      head: (key, call) => run("head", call, () => inner.head(key, call)),
      delete: (key, call) => run("delete", call, () => inner.delete(key, call)),
      deleteMany: (deleteMany) => (keys, call) =>
        run("delete_many", call, () => deleteMany(keys, call)),
      probe: (call) => run("probe", call, () => inner.probe(call)),
      list: (prefix, given) => gauges.list("list", given.signal, inner.list(prefix, given)),
      space: (space) => (call) => run("space", call, () => space(call)),
      concat: (concat) => (from, to, given) => run("concat", given, () => concat(from, to, given)),
      copy: (copy) => (from, to, given) => run("copy", given, () => copy(from, to, given)),
      leftOvers: (leftOvers) => ({
        list: (call) => gauges.list("list_left_overs", call.signal, leftOvers.list(call)),
        remove: (token, call) => run("remove_left_over", call, () => leftOvers.remove(token, call)),
        isRunning: (token) => leftOvers.isRunning(token),
      }),
      parts: (parts) => {
        const { append, copyPart } = parts;
        return forwardParts(parts, {
          create: (key, given) => run("create", given, () => parts.create(key, given)),
          writePart: async (upload, partNumber, bytes, given) => {
            const write = () => parts.writePart(upload, partNumber, bytes, given);
            const part = await run("write_part", given, write);
            gauges.written(part.length);
            return part;
          },
          ...(copyPart && {
            copyPart: (upload, partNumber, source, given) =>
              run("copy_part", given, () => copyPart(upload, partNumber, source, given)),
          }),
          complete: (upload, list, given) =>
            run("complete", given, () => parts.complete(upload, list, given)),
          cancel: (upload, call) => run("cancel", call, () => parts.cancel(upload, call)),
          listParts: (upload, call) =>
            gauges.list("list_parts", call.signal, parts.listParts(upload, call)),
          listPending: (prefix, call) =>
            gauges.list("list_pending", call.signal, parts.listPending(prefix, call)),
          ...(append && {
            append: (upload, offset, body, given) =>
              gauges.write("append", body, given.signal, (passing) =>
                append.call(parts, upload, offset, passing, given),
              ),
          }),
        });
      },
    });
  };

class Gauges {
  readonly #meter: Meter;
  readonly #clock: Clock;
  readonly #storage: string;

  constructor({ id }: StorageDriver, meter: Meter, clock: Clock) {
    this.#storage = id;
    this.#meter = meter;
    this.#clock = clock;
  }

  async run<T>(operation: string, signal: AbortSignal, body: () => Promise<T>): Promise<T> {
    const end = this.#begin(operation, signal);
    try {
      const result = await body();
      end();
      return result;
    } catch (error) {
      end({ error });
      throw error;
    }
  }

  async write<T>(
    operation: string,
    body: Body,
    signal: AbortSignal,
    put: (body: Body) => Promise<T>,
  ): Promise<T> {
    let bytes = 0;
    const counted: Body = {
      [Symbol.asyncIterator]() {
        const source = body[Symbol.asyncIterator]();
        return {
          async next() {
            const item = await source.next();
            if (item.done !== true) bytes += item.value.length;
            return item;
          },
          return: async () => (await source.return?.()) ?? { done: true, value: undefined },
        };
      },
    };
    try {
      return await this.run(operation, signal, () => put(counted));
    } finally {
      this.written(bytes);
    }
  }

  async get(
    signal: AbortSignal,
    open: () => Promise<{ head: BlobHead; body: ObjectBody }>,
  ): Promise<{ head: BlobHead; body: ObjectBody }> {
    const started = this.#clock.monotonicMs();
    const { head, body } = await this.run("get", signal, open);
    return { head, body: layeredBody(body, this.#counted(body, signal, started)) };
  }

  async *list<T>(operation: string, signal: AbortSignal, items: AsyncIterable<T>) {
    const end = this.#begin(operation, signal);
    const started = this.#clock.monotonicMs();
    let seen = false;
    try {
      for await (const item of items) {
        if (!seen) this.#firstByte(operation, started);
        seen = true;
        yield item;
      }
    } catch (error) {
      end({ error });
      throw error;
    } finally {
      end();
    }
  }

  written(bytes: number): void {
    this.#meter.count("storage_written_bytes_total", bytes, { storage: this.#storage });
  }

  async *#counted(
    body: ObjectBody,
    signal: AbortSignal,
    started: number,
  ): AsyncGenerator<Uint8Array> {
    const labels = { storage: this.#storage };
    const end = this.#begin("get_body", signal);
    let bytes = 0;
    try {
      for await (const chunk of body) {
        if (bytes === 0) this.#firstByte("get", started);
        bytes += chunk.length;
        yield chunk;
      }
    } catch (error) {
      end({ error });
      throw error;
    } finally {
      end();
      this.#meter.count("storage_read_bytes_total", bytes, labels);
    }
  }

  /** From the call to what a consumer can begin to work with. */
  #firstByte(operation: string, started: number): void {
    const seconds = (this.#clock.monotonicMs() - started) / 1000;
    const labels = { storage: this.#storage, operation };
    this.#meter.observe("storage_first_byte_seconds", seconds, labels);
  }

  /** The answer ends the call; only its first use counts. */
  #begin(operation: string, signal: AbortSignal): (failed?: { readonly error: unknown }) => void {
    const labels = { storage: this.#storage, operation };
    const started = this.#clock.monotonicMs();
    this.#meter.gauge("storage_calls_running", 1, labels);
    let ended = false;
    return (failed) => {
      if (ended) return;
      ended = true;
      const outcome = failed === undefined ? "ok" : outcomeOf(failed.error, signal);
      this.#meter.gauge("storage_calls_running", -1, labels);
      this.#meter.count("storage_calls_total", 1, { ...labels, outcome });
      this.#meter.observe(
        "storage_call_seconds",
        (this.#clock.monotonicMs() - started) / 1000,
        labels,
      );
    };
  }
}

function outcomeOf(error: unknown, signal: AbortSignal): string {
  if (isOperationalError(error)) return error.code;
  return signal.aborted ? "aborted" : "source_failed";
}
