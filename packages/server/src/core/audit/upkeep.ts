/**
 * What the audit log needs when nobody asks: the oldest records are forgotten, and its newest is said in the
 * server's own log, which is kept elsewhere: so that an end that was cut off, head and all, can be seen.
 */

import type { AuditStore } from "../ports/audit-store.ts";
import { serverAuthor } from "../ports/author.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { SteadyClock } from "../resumable/steady-clock.ts";

const intervalMsDefault = 60 * 60 * 1000;
const batch = 2_000;
const author = serverAuthor("upkeep");

export interface AuditUpkeepOptions {
  readonly metadata: Pick<AuditStore, "pruneAudit" | "verifyAudit">;
  readonly clock: Clock;
  readonly steady: Pick<SteadyClock, "now">;
  readonly log: Log;
  /** How long a record is kept. */
  readonly keepMs: number;
  readonly intervalMs?: number;
}

export class AuditUpkeep implements AsyncDisposable {
  readonly #options: AuditUpkeepOptions;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<unknown> = Promise.resolve();
  #saidSequence = -1;
  #isClosed = false;

  constructor(options: AuditUpkeepOptions) {
    this.#options = options;
  }

  /** At once, and then every `intervalMs`. */
  start(): void {
    const { log, intervalMs = intervalMsDefault } = this.#options;
    const run = (): void => {
      this.#running = this.round().catch((error: unknown) => {
        log.error({ err: error }, "the upkeep of the audit log failed");
      });
    };
    run();
    this.#timer = setInterval(run, intervalMs);
    this.#timer.unref();
  }

  /** Resolves to how many records were forgotten. */
  async round(): Promise<number> {
    const { metadata, clock, steady, log, keepMs } = this.#options;
    // A system time that was set ahead forgets nothing early.
    const nowMs = Math.min(clock.now().getTime(), steady.now().getTime());
    const before = new Date(nowMs - keepMs);
    let forgotten = 0;
    for (let last = batch; last === batch && !this.#isClosed; forgotten += last) {
      last = await metadata.pruneAudit({ author, before, limit: batch });
    }
    const { head } = await metadata.verifyAudit({ after: Number.MAX_SAFE_INTEGER, limit: 1 });
    if (head.sequence !== this.#saidSequence) {
      log.info({ sequence: head.sequence, hash: head.hash, forgotten }, "head of the audit log");
      this.#saidSequence = head.sequence;
    }
    return forgotten;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#timer);
    await this.#running;
  }
}
