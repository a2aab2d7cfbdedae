/**
 * One request's body on its way into an upload. Whatever ends it (the client's last byte, its
 * disappearance, a newcomer, a limit), whoever stores it sees an end and stores what came; `outcome`
 * and `failure` say afterwards what it was.
 */
import type { OperationalError } from "../errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { Body } from "../ports/storage-driver.ts";

export interface IncomingOptions {
  /** Ends the body; its reason becomes the failure. */
  readonly stop: AbortSignal;
  /** The byte that crosses it, and what comes with it, is not taken. */
  readonly bytesMax: number;
  readonly tooLarge: () => OperationalError;
  readonly clock: Clock;
}

/** `open`: more may come. `whole`: the client sent all of it. `cut`: something ended it before. */
export type Outcome = "open" | "whole" | "cut";

export class Incoming {
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #options: IncomingOptions;
  readonly #unread: Uint8Array[] = [];
  #outcome: Outcome = "open";
  #failure: unknown;
  #pulled = 0;
  #waitingSinceMs: number | undefined;
  #wake: (() => void) | undefined;
  #pulling: Promise<Uint8Array | undefined> | undefined;

  constructor(body: Body, options: IncomingOptions) {
    this.#source = body[Symbol.asyncIterator]();
    this.#options = options;
    const { stop } = options;
    if (stop.aborted) this.#cut(stop.reason);
    else stop.addEventListener("abort", this.#onStop, { once: true });
  }

  get outcome(): Outcome {
    return this.#outcome;
  }

  /** Why it was cut. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Whether the client has kept us waiting for at least so long. */
  isStalled(ms: number): boolean {
    const since = this.#waitingSinceMs;
    return since !== undefined && this.#options.clock.monotonicMs() - since >= ms;
  }

  /** The next bytes, or `undefined` once no more will come. Never rejects. */
  async next(): Promise<Uint8Array | undefined> {
    for (;;) {
      const unread = this.#unread.shift();
      if (unread !== undefined) return unread;
      if (this.#outcome !== "open") return undefined;
      this.#pulling ??= this.#pull();
      const chunk = await this.#pulling;
      this.#pulling = undefined;
      if (chunk === undefined || this.#outcome !== "open") continue;
      this.#pulled += chunk.length;
      if (this.#pulled > this.#options.bytesMax) {
        this.#cut(this.#options.tooLarge());
        continue;
      }
      if (chunk.length > 0) return chunk;
    }
  }

  /** Whether `next` would answer at once, or does within so many milliseconds. */
  async isReady(withinMs: number): Promise<boolean> {
    if (this.#unread.length > 0 || this.#outcome !== "open") return true;
    this.#pulling ??= this.#pull();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<false>((resolve) => {
      timer = setTimeout(resolve, withinMs, false);
    });
    try {
      return await Promise.race([this.#pulling.then(() => true), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Puts bytes back, to be the next. */
  unread(chunk: Uint8Array): void {
    if (chunk.length > 0) this.#unread.unshift(chunk);
  }

  /** Lets the source go, if it was not read to its end. */
  end(): void {
    if (this.#outcome === "open") this.#cut(new Error("nobody takes the rest of the body"));
  }

  async #pull(): Promise<Uint8Array | undefined> {
    this.#waitingSinceMs = this.#options.clock.monotonicMs();
    try {
      return await new Promise<Uint8Array | undefined>((resolve) => {
        this.#wake = () => resolve(undefined);
        this.#source.next().then(
          ({ done, value }) => {
            if (done === true && this.#outcome === "open") this.#close("whole");
            resolve(done === true ? undefined : value);
          },
          (error: unknown) => {
            if (this.#outcome === "open") {
              this.#failure = error;
              this.#close("cut");
            }
            resolve(undefined);
          },
        );
      });
    } finally {
      this.#wake = undefined;
      this.#waitingSinceMs = undefined;
    }
  }

  readonly #onStop = (): void => this.#cut(this.#options.stop.reason);

  #cut(reason: unknown): void {
    if (this.#outcome !== "open") return;
    this.#failure = reason;
    this.#close("cut");
    // A source that hangs answers this late or never, so it is not waited for.
    void Promise.resolve(this.#source.return?.()).catch(() => undefined);
  }

  #close(outcome: Outcome): void {
    this.#outcome = outcome;
    this.#options.stop.removeEventListener("abort", this.#onStop);
    this.#wake?.();
  }
}
