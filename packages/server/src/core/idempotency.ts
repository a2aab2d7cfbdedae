/**
 * Requests that take effect once, however often they are sent: bound to who asks and what for, for a day. The
 * change is recorded in its own transaction (`IdempotencyMark`), the answer after it; where a crash came between,
 * what the change resolved to is known, and the answer is made of that.
 */
import { createHash, randomUUID } from "node:crypto";
import { OperationalError } from "./errors.ts";
import type { Clock } from "./ports/clock.ts";
import type {
  IdempotencyMark,
  IdempotencyState,
  IdempotencyStore,
  KeptAnswer,
} from "./ports/idempotency-store.ts";
import type { Log } from "./ports/log.ts";
import type { Siblings } from "./ports/siblings.ts";

const leaseMs = 60_000;
const renewMs = 20_000;
/** Whether an attempt runs: asked of the worker in whose name it is. */
const topic = "idempotency.running";
const askMsMax = 2_000;

export interface IdempotencyOptions {
  readonly metadata: IdempotencyStore;
  readonly clock: Clock;
  readonly log: Log;
  /** How long a key is remembered. */
  readonly keepMs: number;
  /** Of one access key. */
  readonly keysMax: number;
  /** Whose attempts run beside those of this process; of any other they are over. */
  readonly siblings: Siblings;
}

export interface KeyedRequest {
  /** Whose key it is: the access key, and the grant. */
  readonly actor: string;
  readonly grant?: string | undefined;
  readonly key: string;
  /** All that makes it this request and no other. */
  readonly fingerprint: readonly string[];
}

/** An attempt that owns its key until it is over. */
export interface Attempt {
  readonly mark: IdempotencyMark;
  /** Of a success: repeated from now on. */
  answered(answer: KeptAnswer): Promise<void>;
  /** What had no effect may be tried again. Never rejects. */
  failed(): Promise<void>;
}

/** What is left to do for a request with a key. */
export type KeyedState =
  | { readonly state: "taken"; readonly attempt: Attempt }
  | Extract<IdempotencyState, { state: "answered" | "effective" }>;

export class Idempotency {
  readonly #options: IdempotencyOptions;
  readonly #running = new Map<string, NodeJS.Timeout>();
  /** Those that may own their key, and do not know it yet. */
  readonly #taking = new Set<string>();

  constructor(options: IdempotencyOptions) {
    this.#options = options;
    options.siblings.on(topic, (owner) => this.#runs(String(owner)));
  }

  /**
   * `already_exists` while the first attempt runs, retryable; `precondition_failed` if the key was given for another
   * request; `rate_limited` when the access key has too many.
   */
  async take(request: KeyedRequest): Promise<KeyedState> {
    const owner = `${this.#options.siblings.self}.${randomUUID()}`;
    this.#taking.add(owner);
    try {
      return await this.#take(owner, request);
    } finally {
      this.#taking.delete(owner);
    }
  }

  async #take(owner: string, request: KeyedRequest): Promise<KeyedState> {
    const { actor, grant = "", key, fingerprint } = request;
    const { metadata, clock, keepMs, keysMax } = this.#options;
    const mark = { id: digest([actor, grant, key]), owner };
    const nowMs = clock.now().getTime();
    const taking = {
      ...mark,
      ...{ actor, keysMax, fingerprint: digest(fingerprint), now: new Date(nowMs) },
      leaseUntil: new Date(nowMs + leaseMs),
      expiresAt: new Date(nowMs + keepMs),
    };
    let found = await metadata.takeIdempotencyKey(taking);
    if (found.state === "running" && (await this.#isOver(found.owner))) {
      found = await metadata.takeIdempotencyKey({ ...taking, lapsed: found.owner });
    }
    switch (found.state) {
      case "taken":
        return { state: "taken", attempt: this.#attempt(mark) };
      case "running":
        throw new OperationalError(
          "already_exists",
          "the first request with this Idempotency-Key is still under way: ask again",
          { retryable: true, context: { header: "Idempotency-Key", retryAfterSeconds: 1 } },
        );
      case "other":
        throw new OperationalError(
          "precondition_failed",
          "this Idempotency-Key was given for another request",
          { context: { header: "Idempotency-Key" } },
        );
      case "too-many":
        throw new OperationalError("rate_limited", `more than ${keysMax} Idempotency-Keys`, {
          context: {
            header: "Idempotency-Key",
            limit: "idempotencyKeysMax",
            retryAfterSeconds: 60,
          },
        });
      default:
        return found;
    }
  }

  /** Its process is gone, or it has ended there without a word. Of one that lives and is silent nothing is known. */
  async #isOver(owner: string): Promise<boolean> {
    if (this.#runs(owner)) return false;
    const { siblings } = this.#options;
    const [process = ""] = owner.split(".", 1);
    try {
      const answers = await siblings.ask(topic, owner, { msMax: askMsMax, of: process });
      return answers.every(({ answer }) => answer === false);
    } catch {
      return false;
    }
  }

  #runs(owner: string): boolean {
    return this.#running.has(owner) || this.#taking.has(owner);
  }

  #attempt(mark: IdempotencyMark): Attempt {
    const { metadata, log } = this.#options;
    const { owner } = mark;
    this.#running.set(owner, setInterval(() => this.#renew(mark), renewMs).unref());
    const end = (): void => {
      clearInterval(this.#running.get(owner));
      this.#running.delete(owner);
    };
    return {
      mark,
      answered: (answer) => metadata.recordIdempotentAnswer(mark, answer).finally(end),
      failed: () => {
        // At once: who asks again must not wait for a store that is stalled.
        end();
        return metadata.releaseIdempotencyKey(mark).catch((error: unknown) => {
          log.debug({ err: error }, "an Idempotency-Key could not be released");
        });
      },
    };
  }

  #renew(mark: IdempotencyMark): void {
    const { metadata, clock, log } = this.#options;
    const until = new Date(clock.now().getTime() + leaseMs);
    metadata.renewIdempotencyKey(mark, { until }).catch((error: unknown) => {
      log.debug({ err: error }, "an Idempotency-Key could not be renewed");
    });
  }
}

/** Texts apart from each other, whatever is in them. */
function digest(texts: readonly string[]): string {
  return createHash("sha256").update(JSON.stringify(texts)).digest("base64url");
}
