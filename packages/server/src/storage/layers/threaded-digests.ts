// Digests of long bodies, computed in threads of their own: an MD5 of 100 MB holds a thread for a sixth of
// a second, which the event loop has better use for. Bytes are copied into memory that both threads see
// (`digest-ring.ts`); what waits there is bounded, and so a body is held back by its own digest.

import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { digestNames } from "../../core/digests/digest-set.ts";
import { OperationalError } from "../../core/errors.ts";
import type { DigestName, Digests } from "../../core/ports/storage-driver.ts";
import { newRing, type RingAnswer, RingFiller, slotBytes, steps } from "./digest-ring.ts";

/** Shorter bodies are digested where they are: the way to another thread and back costs more. */
export const threadedBytesMin = 1024 * 1024;

/** One MD5 keeps one thread busy; more threads than cores would only wait for each other. */
const threadsMax = Math.min(4, Math.max(1, availableParallelism() - 1));
const workerHeap = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 2 } as const;

/** Digests by name, of a body that comes one chunk after the other. `finish` or `stop` ends it. */
export class ThreadedDigests {
  readonly #names: readonly DigestName[];
  readonly #thread: DigestThread;
  readonly #bodyId: number;
  #state: "new" | "running" | "ended" = "new";

  constructor(names: Iterable<DigestName>, thread: DigestThread = leastBusy()) {
    this.#names = [...new Set(names)];
    this.#thread = thread;
    this.#bodyId = this.#thread.enter();
  }

  /** Copies the bytes. A promise: wait for it before the next call. `internal` if the thread is gone. */
  update(bytes: Uint8Array): Promise<void> | undefined {
    let at = 0;
    if (this.#begin()) {
      for (; at < bytes.length; at += slotBytes) {
        const piece = bytes.subarray(at, at + slotBytes);
        if (!this.#thread.fill(this.#bodyId, steps.update, { bytes: piece })) break;
      }
      if (at >= bytes.length) return undefined;
    }
    const rest = bytes.subarray(at);
    return this.#thread.room().then(() => this.update(rest));
  }

  /** Once, after the last byte. */
  async finish(): Promise<Digests> {
    while (!this.#begin()) await this.#thread.room();
    while (!this.#thread.fill(this.#bodyId, steps.finish)) await this.#thread.room();
    this.#state = "ended";
    return await this.#thread.answer(this.#bodyId);
  }

  /** Nobody wants them any more. After an end it does nothing. */
  stop(): void {
    if (this.#state === "ended") return;
    const begun = this.#state === "running";
    this.#state = "ended";
    this.#thread.drop(this.#bodyId, begun);
  }

  /** Whether the thread knows of the body. */
  #begin(): boolean {
    if (this.#state !== "new") return true;
    const digests = this.#names.reduce((set, name) => set | (1 << digestNames.indexOf(name)), 0);
    if (!this.#thread.fill(this.#bodyId, steps.begin, { digests })) return false;
    this.#state = "running";
    return true;
  }
}

const threads: DigestThread[] = [];

function leastBusy(): DigestThread {
  const [best] = threads.toSorted((a, b) => a.bodyCount - b.bodyCount);
  if (best !== undefined && (best.bodyCount === 0 || threads.length >= threadsMax)) return best;
  const thread = new DigestThread((gone) => threads.splice(threads.indexOf(gone), 1));
  threads.push(thread);
  return thread;
}

type Settle = PromiseWithResolvers<Digests>;

/** A thread that may have several bodies at once. */
export class DigestThread implements AsyncDisposable {
  readonly #worker: Worker;
  readonly #ring: RingFiller;
  readonly #answers = new Map<number, Settle>();
  #waiters: (() => void)[] = [];
  #failure: OperationalError | undefined;
  #lastId = 0;
  bodyCount = 0;

  constructor(onGone: (thread: DigestThread) => void) {
    const memory = newRing();
    this.#ring = new RingFiller(memory);
    // A build turns this file and the worker's into .js, and leaves texts like this as they are.
    const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
    this.#worker = new Worker(new URL(`./digest-worker.${extension}`, import.meta.url), {
      name: "digests",
      workerData: memory,
      resourceLimits: workerHeap,
    });
    this.#worker.unref();
    const end = (cause: unknown): void => {
      if (this.#failure === undefined) onGone(this);
      this.#end(cause);
    };
    this.#worker.on("message", (answer: RingAnswer) => this.#receive(answer));
    this.#worker.on("error", end).on("exit", (code) => end(new Error(`exit code ${code}`)));
  }

  /** Until the body's digests were answered, or dropped, the process does not end by itself. */
  enter(): number {
    if (this.bodyCount === 0) this.#worker.ref();
    this.bodyCount += 1;
    this.#lastId = (this.#lastId + 1) | 0;
    return this.#lastId;
  }

  /** Ends the thread: bodies that it has fail. Nobody needs to, at the process's end. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate();
  }

  fill(...slot: Parameters<RingFiller["fill"]>): boolean {
    if (this.#failure !== undefined) throw this.#failure;
    return this.#ring.fill(...slot);
  }

  /** Resolves when there is room, for whoever is first. */
  room(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiters.push(resolve);
      if (this.#waiters.length === 1 && !this.#ring.wantRoom()) this.#wakeWaiters();
    });
  }

  async answer(bodyId: number): Promise<Digests> {
    if (this.#failure !== undefined) throw this.#failure;
    const settle = Promise.withResolvers<Digests>();
    this.#answers.set(bodyId, settle);
    return await settle.promise;
  }

  drop(bodyId: number, begun: boolean): void {
    this.#leave();
    if (begun) void this.#drop(bodyId);
  }

  async #drop(bodyId: number): Promise<void> {
    while (this.#failure === undefined && !this.#ring.fill(bodyId, steps.drop)) await this.room();
  }

  #receive(answer: RingAnswer): void {
    if (answer.kind === "room") {
      this.#wakeWaiters();
      return;
    }
    this.#leave();
    this.#answers.get(answer.bodyId)?.resolve(answer.digests);
    this.#answers.delete(answer.bodyId);
  }

  #leave(): void {
    this.bodyCount -= 1;
    if (this.bodyCount === 0) this.#worker.unref();
  }

  #wakeWaiters(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }

  #end(cause: unknown): void {
    const message = "the thread that computes digests ended";
    this.#failure ??= new OperationalError("internal", message, { cause });
    for (const { reject } of this.#answers.values()) reject(this.#failure);
    this.#answers.clear();
    this.#wakeWaiters();
  }
}
