/**
 * Lines on their way to one place. Whoever writes never waits and never sees an error: lines wait in a
 * bounded queue, one write is under way at a time, and what does not fit or cannot be written is dropped
 * and counted. After a failure nothing is tried for a while; the first write that works again is
 * preceded by a line that says how much was lost.
 */
import type { DropReason, LineTarget } from "./line-target.ts";

export interface LineSinkOptions {
  /** As it is called in the metric: `stdout`, `stderr`, `file`. */
  readonly name: string;
  readonly target: LineTarget;
  /** Lines that wait, the ones being written included. */
  readonly bytesMax: number;
  /** The line that stands for those that were dropped since the last one, without its end. */
  readonly notice: (dropped: Readonly<Record<string, number>>) => string;
  /** Told once when writing begins to fail, until it works again. */
  readonly onFailure?: (reason: DropReason, error: unknown) => void;
  /** Told once the notice has been written. */
  readonly onRecovery?: () => void;
  readonly onDrop?: (reason: DropReason, lines: number) => void;
  /** After a failure, until the next attempt. */
  readonly retryMs?: number;
}

const retryMsDefault = 1_000;

export class LineSink {
  readonly name: string;
  readonly #options: LineSinkOptions;
  readonly #retryMs: number;
  /** Each with its line end. */
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  /** Begun at, while a write is under way. */
  #writingSince: number | undefined;
  #drained: Promise<void> = Promise.resolve();
  #failure: { readonly reason: DropReason; readonly until: number } | undefined;
  #failing = false;
  #isClosed = false;
  /** Since the last notice. */
  readonly #unsaid = new Map<DropReason, number>();
  readonly #dropped = new Map<DropReason, number>();

  constructor(options: LineSinkOptions) {
    this.name = options.name;
    this.#options = options;
    this.#retryMs = options.retryMs ?? retryMsDefault;
  }

  /** Lines dropped since the start, by reason. */
  get dropped(): ReadonlyMap<DropReason, number> {
    return this.#dropped;
  }

  /** `line` ends in a newline. Never throws, never waits. */
  write(line: string): void {
    const bytes = Buffer.from(line);
    const refused = this.#refusal(bytes.length);
    if (refused !== undefined) {
      this.#drop(refused, 1);
      return;
    }
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.length;
    if (this.#writingSince === undefined) this.#drained = this.#drain();
  }

  /** Writes what waits; false when that was not done within `msMax`, and it was given up. Nothing is taken then. */
  async close(msMax: number): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<false>((resolve) => {
      timer = setTimeout(() => resolve(false), msMax);
    });
    const done = await Promise.race([this.#drained.then(() => true as const), late]);
    clearTimeout(timer);
    this.#isClosed = true;
    if (!done) this.#queue = [];
    const closed = this.#options.target.close();
    // One that hangs is not waited for.
    if (done) await closed;
    return done;
  }

  /** The process ends now: what waits is written without waiting, as far as it goes. */
  flushAtExit(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const since = this.#writingSince;
    // A write that hangs would hang again.
    const hangs = since !== undefined && performance.now() - since > hangsMs;
    if (hangs || this.#failing || this.#queue.length === 0) return;
    this.#options.target.writeAtExit(Buffer.concat(this.#queue));
  }

  #refusal(bytes: number): DropReason | undefined {
    if (this.#isClosed) return "closed";
    const failure = this.#failure;
    if (failure !== undefined && performance.now() < failure.until) return failure.reason;
    return this.#queuedBytes + bytes > this.#options.bytesMax ? "slow" : undefined;
  }

  async #drain(): Promise<void> {
    while (this.#queue.length > 0) {
      if (this.#unsaid.size > 0) await this.#announce();
      // That failed, or what waited was given up meanwhile.
      if (this.#queue.length === 0) break;
      const { lines, bytes } = this.#take();
      await this.#put(bytes, lines);
      this.#queuedBytes -= bytes.length;
    }
    this.#writingSince = undefined;
  }

  /** Whether it was written; else its lines are dropped, and all that wait. */
  async #put(bytes: Buffer, lines: number): Promise<boolean> {
    this.#writingSince = performance.now();
    try {
      await this.#options.target.write(bytes);
      this.#failure = undefined;
      this.#failing = false;
      return true;
    } catch (error) {
      this.#fail(error, lines);
      return false;
    }
  }

  /** Whole lines, as many as go in one write. */
  #take(): { readonly lines: number; readonly bytes: Buffer } {
    const [first = Buffer.alloc(0)] = this.#queue;
    let lines = 1;
    let length = first.length;
    for (; lines < this.#queue.length; lines += 1) {
      const next = this.#queue[lines]?.length ?? 0;
      if (length + next > this.#options.target.writeBytesMax) break;
      length += next;
    }
    const taken = this.#queue.splice(0, lines);
    return { lines, bytes: lines === 1 ? first : Buffer.concat(taken, length) };
  }

  /** What was lost is said in front of the next line; until that is written it counts as unsaid. */
  async #announce(): Promise<void> {
    const said = new Map(this.#unsaid);
    const line = Buffer.from(`${this.#options.notice(Object.fromEntries(said))}\n`);
    if (!(await this.#put(line, 0))) return;
    for (const [reason, lines] of said) {
      const left = (this.#unsaid.get(reason) ?? 0) - lines;
      if (left > 0) this.#unsaid.set(reason, left);
      else this.#unsaid.delete(reason);
    }
    this.#options.onRecovery?.();
  }

  #fail(error: unknown, lines: number): void {
    const reason = this.#options.target.reasonOf(error);
    this.#failure = { reason, until: performance.now() + this.#retryMs };
    const lost = lines + this.#queue.length;
    // None, when all that waited was given up meanwhile.
    if (lost > 0) this.#drop(reason, lost);
    for (const line of this.#queue.splice(0)) this.#queuedBytes -= line.length;
    if (this.#failing) return;
    this.#failing = true;
    this.#options.onFailure?.(reason, error);
  }

  #drop(reason: DropReason, lines: number): void {
    this.#dropped.set(reason, (this.#dropped.get(reason) ?? 0) + lines);
    this.#unsaid.set(reason, (this.#unsaid.get(reason) ?? 0) + lines);
    this.#options.onDrop?.(reason, lines);
  }
}

/** A write that takes longer is taken for one that hangs. */
const hangsMs = 200;
