/**
 * The store's end of one worker thread: calls go out in batches, answers settle them. Each call is
 * settled exactly once, by its answer, by the thread's end, or by the end of its request's budget if the
 * thread has not begun it: then it has no effect. The count of calls under way is
 * bounded; past the bound a call is refused with `overloaded` and not sent.
 */
import { Worker } from "node:worker_threads";
import { OperationalError } from "../../core/errors.ts";
import type { Budget, Cancellable } from "../../core/ports/budget.ts";
import type { Log } from "../../core/ports/log.ts";
import type { Meter } from "../../core/ports/meter.ts";
import type { CallPlaces } from "./call-places.ts";
import type { Call, ErrorMessage, FromWorker, Role, ToWorker, WorkerData } from "./protocol.ts";

/**
 * Keys and addresses in the calls under way, for a call may name thousands: 64 MiB where each has
 * 1,024 bytes. A single call may be larger.
 */
const itemsMax = 65_536;

/** A worker's heap: answers of large lists fit; a leak ends the thread and not the process. */
const workerHeap = { maxOldGenerationSizeMb: 256, maxYoungGenerationSizeMb: 8 } as const;

export interface WorkerLinkOptions {
  readonly role: Role;
  /** A thread that runs `worker.ts`; the link owns it from here on. */
  readonly worker: Worker;
  /** Those that the thread was started with. */
  readonly places: CallPlaces;
  readonly log: Log;
  readonly meter: Meter;
  /** Calls sent or waiting to be. */
  readonly callsMax: number;
}

interface PendingCall {
  readonly items: number;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly ending?: Ending;
}

/** What a call hangs on that may be given up. */
interface CallBudget {
  readonly budget: Budget;
  /** Whether it is, for that failure; left out: for any. */
  readonly isGivenUpFor?: (failure: OperationalError) => boolean;
  /** Whether it is what an Idempotency-Key is for. */
  readonly isMarked?: boolean;
}

/** A call's part in its request's budget, until the thread has answered. */
class Ending implements Cancellable {
  readonly place: number;
  readonly #places: CallPlaces;
  readonly #call: CallBudget;
  readonly #reject: (error: Error) => void;

  constructor(place: number, places: CallPlaces, call: CallBudget, reject: (error: Error) => void) {
    this.place = place;
    this.#places = places;
    this.#call = call;
    this.#reject = reject;
    call.budget.addCancellable(this);
  }

  cancel(reason: OperationalError): void {
    if (this.#call.isGivenUpFor?.(reason) === false) return;
    if (this.#places.cancel(this.place)) this.#reject(reason);
  }

  done(): void {
    this.#call.budget.deleteCancellable(this);
    this.#places.giveBack(this.place);
  }
}

/** Starts the thread, which loads its code and then waits to be told to open its connection. */
export function startWorker(given: Omit<WorkerData, "places">, places: CallPlaces): Worker {
  const workerData: WorkerData = { ...given, places: places.shared };
  // A build turns this file and the worker's into .js, and leaves texts like this as they are.
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  return new Worker(new URL(`./worker.${extension}`, import.meta.url), {
    name: `metadata-${workerData.role}`,
    workerData,
    resourceLimits: workerHeap,
  });
}

export class WorkerLink implements AsyncDisposable {
  readonly #role: Role;
  readonly #worker: Worker;
  readonly #places: CallPlaces;
  readonly #log: Log;
  readonly #meter: Meter;
  readonly #callsMax: number;
  readonly #pending = new Map<number, PendingCall>();
  readonly #opened = Promise.withResolvers<void>();
  readonly #exited = Promise.withResolvers<void>();
  #outgoing: Call[] = [];
  #nextId = 0;
  /** The sum over `#pending`. */
  #items = 0;
  #state: "open" | "closing" | "dead" = "open";
  #onIdle: (() => void) | undefined;

  constructor({ role, worker, places, log, meter, callsMax }: WorkerLinkOptions) {
    this.#role = role;
    this.#worker = worker;
    this.#places = places;
    this.#log = log;
    this.#meter = meter;
    this.#callsMax = callsMax;
    // Whoever opens awaits it; a thread that ends before that is reported by `open` too.
    this.#opened.promise.catch(() => {});
    worker.on("message", (message: FromWorker) => this.#receive(message));
    worker.on("error", (error) => this.#die(error));
    worker.on("exit", (code) => {
      if (this.#state === "open") this.#die(new Error(`exit code ${code}`));
      this.#exited.resolve();
    });
  }

  /** Opens the thread's connection; fails as that did. Once, and before the first call. */
  async open(): Promise<void> {
    this.#worker.postMessage({ kind: "open" } satisfies ToWorker);
    await this.#opened.promise;
  }

  /**
   * The answer is whatever the operation of that name answers. With a budget that ends before the thread
   * begins, the call is rejected with its failure, and is nothing.
   */
  call(method: string, args: readonly unknown[], budget?: CallBudget): Promise<unknown> {
    if (this.#state !== "open") return Promise.reject(unavailable(this.#role));
    const items = itemsOf(args);
    const tooMany = this.#pending.size >= this.#callsMax;
    if (tooMany || (this.#pending.size > 0 && this.#items + items > itemsMax)) {
      return Promise.reject(this.#refuse());
    }
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const place = budget === undefined ? undefined : this.#places.take();
    let call: Call = [id, method, args];
    if (budget === undefined || place === undefined) {
      this.#pending.set(id, { items, resolve, reject });
    } else {
      const ending = new Ending(place, this.#places, budget, reject);
      this.#pending.set(id, { items, resolve, reject, ending });
      call = [id, method, args, place];
    }
    const mark = budget?.isMarked === true ? budget.budget.idempotency : undefined;
    if (mark !== undefined) call = [id, method, args, place, mark];
    this.#items += items;
    // One message for all calls of this turn of the event loop: a message costs as much as a call.
    if (this.#outgoing.push(call) === 1) setImmediate(() => this.#send());
    return promise;
  }

  /** Refuses new calls, waits for those under way, and for the thread to close and exit. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#state === "open") {
      this.#state = "closing";
      if (this.#pending.size > 0) {
        await new Promise<void>((resolve) => {
          this.#onIdle = resolve;
        });
      }
      this.#worker.postMessage({ kind: "close" } satisfies ToWorker);
    }
    await this.#exited.promise;
  }

  #receive(message: FromWorker): void {
    if (message.kind === "answers") this.#settle(message);
    else if (message.kind === "open") this.#opened.resolve();
    else if (message.kind === "refused") this.#opened.reject(toError(message.error));
    else {
      this.#log.warn(
        { err: toError(message.error), role: this.#role },
        "closed with a write-ahead log; it is replayed at the next start",
      );
    }
  }

  #send(): void {
    const calls = this.#outgoing;
    this.#outgoing = [];
    if (this.#state === "dead") return;
    try {
      this.#worker.postMessage({ kind: "calls", calls } satisfies ToWorker);
    } catch {
      // An argument that cannot be copied: find whose it is, so that it fails alone.
      for (const call of calls) this.#sendOne(call);
    }
  }

  #sendOne(call: Call): void {
    try {
      this.#worker.postMessage({ kind: "calls", calls: [call] } satisfies ToWorker);
    } catch (error) {
      const [id, method] = call;
      this.#take(id)?.reject(
        new OperationalError("internal", `${method} got what cannot be sent to a thread`, {
          cause: error,
        }),
      );
      this.#noticeIdle();
    }
  }

  #settle({ answers, seconds }: FromWorker & { readonly kind: "answers" }): void {
    const labels = { role: this.#role };
    this.#meter.observe("metadata_group_calls", answers.length, labels);
    this.#meter.observe("metadata_group_seconds", seconds, labels);
    for (const [id, error, value] of answers) {
      const call = this.#take(id);
      if (error === null) call?.resolve(value);
      else call?.reject(toError(error));
    }
    this.#noticeIdle();
  }

  #refuse(): OperationalError {
    this.#meter.count("metadata_refused_total", 1, { role: this.#role });
    const waiting = this.#pending.size;
    return new OperationalError("overloaded", `${waiting} calls wait for the metadata store`, {
      context: { waiting, waitingMax: this.#callsMax },
    });
  }

  #take(id: number): PendingCall | undefined {
    const call = this.#pending.get(id);
    this.#pending.delete(id);
    this.#items -= call?.items ?? 0;
    call?.ending?.done();
    return call;
  }

  #noticeIdle(): void {
    if (this.#pending.size === 0) this.#onIdle?.();
  }

  #die(error: unknown): void {
    if (this.#state === "dead") return;
    this.#state = "dead";
    this.#log.error(
      { err: error, role: this.#role, callsFailed: this.#pending.size },
      "a thread of the metadata store ended; the store answers no more calls",
    );
    this.#opened.reject(unavailable(this.#role, error));
    for (const call of this.#pending.values()) {
      call.ending?.done();
      call.reject(unavailable(this.#role, error));
    }
    this.#pending.clear();
    this.#items = 0;
    this.#noticeIdle();
  }
}

function itemsOf(args: readonly unknown[]): number {
  let items = 0;
  for (const argument of args) if (Array.isArray(argument)) items += argument.length;
  return items;
}

function unavailable(role: Role, cause?: unknown): OperationalError {
  const message = `the metadata store's ${role} is closed`;
  return new OperationalError("unavailable", message, cause === undefined ? {} : { cause });
}

function toError({ code, message, retryable, context, cause }: ErrorMessage): OperationalError {
  return new OperationalError(code, message, {
    retryable,
    context,
    ...(cause === undefined ? {} : { cause: new Error(cause) }),
  });
}
