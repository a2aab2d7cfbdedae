/**
 * What became of requests with an `Idempotency-Key`. One attempt at a time owns a key; the change that it makes is
 * recorded in the transaction of the change, and only while it is the owner: so a key takes effect once.
 */

/** Who makes a change: the change is recorded with it, or refused with `locked` once another owns the key. */
export interface IdempotencyMark {
  readonly id: string;
  /** New for each attempt. */
  readonly owner: string;
}

export interface IdempotentRequest extends IdempotencyMark {
  /** Whose keys are counted together. */
  readonly actor: string;
  /** Of the request: with the same key another is refused. */
  readonly fingerprint: string;
  readonly now: Date;
  /** Until then an attempt is taken to run, unless it is known to be over. */
  readonly leaseUntil: Date;
  readonly expiresAt: Date;
  /** Keys of one actor. */
  readonly keysMax: number;
  /** An owner that is known to run no more. */
  readonly lapsed?: string;
}

/** An answer as it was given. */
export interface KeptAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON; null for none. */
  readonly body: string | null;
}

export type IdempotencyState =
  /** The key is this attempt's. */
  | { readonly state: "taken" }
  /** Another attempt has it. */
  | { readonly state: "running"; readonly owner: string }
  | { readonly state: "answered"; readonly answer: KeptAnswer }
  /** It took effect, and nobody knows what was answered: what the store's call resolved to. */
  | { readonly state: "effective"; readonly method: string; readonly value: unknown }
  /** The key was given for another request. */
  | { readonly state: "other" }
  /** The actor has as many keys as it may. */
  | { readonly state: "too-many" };

export interface IdempotencyStore {
  takeIdempotencyKey(request: IdempotentRequest): Promise<IdempotencyState>;
  /** Another owner's is left alone. */
  renewIdempotencyKey(mark: IdempotencyMark, lease: { readonly until: Date }): Promise<void>;
  recordIdempotentAnswer(mark: IdempotencyMark, answer: KeptAnswer): Promise<void>;
  /** Of an attempt that failed: forgotten if it had no effect. */
  releaseIdempotencyKey(mark: IdempotencyMark): Promise<void>;
  /** Answers how many were forgotten. */
  forgetIdempotencyKeys(options: {
    readonly expiredBefore: Date;
    readonly limit: number;
  }): Promise<number>;
}
