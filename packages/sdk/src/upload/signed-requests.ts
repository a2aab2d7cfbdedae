/**
 * The signed requests of one upload: handed out by part number, fetched some at a time before they are
 * needed, and again when they are too old or were refused.
 */
import type { SignedRequestJson } from "@roma/contract";
import { namedPath } from "../address.ts";
import type { Caller } from "../caller.ts";
import { RomaError } from "../errors.ts";
import { parseSignedRequests } from "./parse-direct.ts";

// At once; more would be older when they are used.
const batchMax = 20;
const marginMs = 10_000;

interface Kept {
  readonly request: SignedRequestJson;
  /** Those of one batch were signed together, and grow old together. */
  readonly batch: number;
  /** By a clock that does not jump. */
  readonly staleAt: number;
}

/** `put`, or the number of a part. */
export type RequestName = "put" | number;

export class SignedRequests {
  readonly #caller: Caller;
  readonly #uploadId: string;
  readonly #kept = new Map<string, Kept>();
  #batch: Promise<void> | undefined;
  #batches = 0;
  #following: () => Iterable<number>;

  /** `following` says which parts will be wanted soon. */
  constructor(
    caller: Caller,
    uploadId: string,
    given: Readonly<Record<string, SignedRequestJson>>,
    following: () => Iterable<number>,
  ) {
    this.#caller = caller;
    this.#uploadId = uploadId;
    this.#following = following;
    this.#keep(given);
  }

  /** The request to send now. */
  async get(name: RequestName, signal: AbortSignal): Promise<SignedRequestJson> {
    for (let tries = 0; ; tries++) {
      const kept = this.#kept.get(String(name));
      if (kept !== undefined && performance.now() < kept.staleAt) return kept.request;
      if (tries === 2) throw new RomaError("bad_answer", `no request was signed for ${name}`);
      // One at a time: those that wait find theirs in the batch, or ask next.
      if (this.#batch !== undefined) {
        await this.#batch.catch(() => {});
        tries -= 1;
        signal.throwIfAborted();
        continue;
      }
      this.#batch = this.#sign(name, signal);
      try {
        await this.#batch;
      } finally {
        this.#batch = undefined;
      }
    }
  }

  /** This one was refused; so would be those that were signed with it, or before. */
  forget(name: RequestName, refused: SignedRequestJson): void {
    const kept = this.#kept.get(String(name));
    if (kept?.request !== refused) return;
    for (const [other, { batch }] of this.#kept) {
      if (batch <= kept.batch) this.#kept.delete(other);
    }
  }

  async #sign(name: RequestName, signal: AbortSignal): Promise<void> {
    const partNumbers = name === "put" ? undefined : this.#wanted(name);
    const { value: signed } = await this.#caller.json({
      method: "POST",
      path: `${namedPath("/v1/uploads", this.#uploadId)}/requests`,
      value: partNumbers === undefined ? {} : { partNumbers },
      parse: parseSignedRequests,
      signal,
    });
    this.#keep(signed.requests);
  }

  #wanted(name: number): readonly number[] {
    const wanted = [name];
    for (const number of this.#following()) {
      if (wanted.length === batchMax) break;
      if (!this.#kept.has(String(number))) wanted.push(number);
    }
    return wanted;
  }

  #keep(requests: Readonly<Record<string, SignedRequestJson>>): void {
    const batch = ++this.#batches;
    for (const [name, request] of Object.entries(requests)) {
      const ms = Date.parse(request.expiresAt) - Date.now();
      // A clock that is wrong by more than a request's life says nothing; then refusals do.
      const staleAt = ms > marginMs ? performance.now() + ms - marginMs : Number.POSITIVE_INFINITY;
      this.#kept.set(name, { request, batch, staleAt });
    }
  }
}
