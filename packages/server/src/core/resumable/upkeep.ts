/**
 * What uploads need when nobody asks: abandoned ones are cancelled, in the storage too; those that were
 * left half cancelled or half completed by a crash are brought to their end; complete ones are forgotten,
 * and only they, never their objects. How often a grant was used is forgotten when the grant has ended, and what
 * became of requests with an Idempotency-Key when that is no longer repeated.
 */
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { MetadataStore } from "../ports/metadata-store.ts";
import type { ResumableUploads } from "./resumable-uploads.ts";
import type { SteadyClock } from "./steady-clock.ts";

const batch = 100;
const rememberMs = 60_000;
const usesBatch = 1000;
/** After its end a grant's uses stay for so long: the system's time may be set back. */
const usesKeptMs = 24 * 60 * 60 * 1000;

export interface UpkeepOptions {
  readonly uploads: Pick<ResumableUploads, "tidy">;
  readonly metadata: Pick<
    MetadataStore,
    "forgetGrantUses" | "forgetIdempotencyKeys" | "listUploadsDue"
  >;
  readonly clock: Clock;
  readonly steady: SteadyClock;
  readonly log: Log;
  readonly intervalMs: number;
}

export class UploadUpkeep implements AsyncDisposable {
  readonly #options: UpkeepOptions;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<unknown> = Promise.resolve();
  #rememberedAt = 0;
  #isClosed = false;

  constructor(options: UpkeepOptions) {
    this.#options = options;
  }

  /** Every `intervalMs`, one round at a time. */
  start(): void {
    this.#timer = setTimeout(async () => {
      this.#running = this.round().catch((error: unknown) => {
        this.#options.log.error({ err: error }, "the upkeep of uploads failed");
      });
      await this.#running;
      if (!this.#isClosed) this.start();
    }, this.#options.intervalMs);
    this.#timer.unref();
  }

  /** Resolves to how many were brought to an end. One that fails waits for the next round. */
  async round(): Promise<number> {
    const { uploads, metadata, steady, log } = this.#options;
    const now = steady.now();
    if (now.getTime() - this.#rememberedAt >= rememberMs) {
      await steady.remember();
      this.#rememberedAt = now.getTime();
    }
    await this.#forgetGrantUses();
    await this.#forgetIdempotencyKeys();
    const failed = new Set<string>();
    let done = 0;
    for (;;) {
      // Those that fail stay due: they must not keep the others from being seen.
      const due = await metadata.listUploadsDue({ now, limit: batch + failed.size });
      const left = due.filter(({ id }) => !failed.has(id));
      if (left.length === 0) return done;
      for (const record of left) {
        if (this.#isClosed) return done;
        try {
          await uploads.tidy(record);
          done += 1;
        } catch (error) {
          log.warn({ err: error, uploadId: record.id }, "an upload could not be tidied up yet");
        }
        // Seen in this round, whatever came of it.
        failed.add(record.id);
      }
    }
  }

  async #forgetGrantUses(): Promise<void> {
    const { metadata, clock } = this.#options;
    const expiredBefore = new Date(clock.now().getTime() - usesKeptMs);
    let forgotten = usesBatch;
    while (forgotten === usesBatch && !this.#isClosed) {
      forgotten = await metadata.forgetGrantUses({ expiredBefore, limit: usesBatch });
    }
  }

  async #forgetIdempotencyKeys(): Promise<void> {
    const { metadata, clock } = this.#options;
    const expiredBefore = clock.now();
    let forgotten = usesBatch;
    while (forgotten === usesBatch && !this.#isClosed) {
      forgotten = await metadata.forgetIdempotencyKeys({ expiredBefore, limit: usesBatch });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    await this.#running;
  }
}
