/** What the processes of `contend.test.ts` do, and what one of them says of it. */
export const limits = {
  /** Keys that each tries to create, idempotency keys that each tries to take, and parts that each puts. */
  rounds: 40,
  /** Of each process. */
  swaps: 25,
  uploadBytes: 300,
  /** Each tries as many of these four as all together may. */
  grantUses: 40,
  quotaBytes: 200,
  deletesPerHour: 40,
  uploadsOpenMax: 40,
} as const;

export type Limits = typeof limits;

export interface Outcome {
  readonly done: readonly string[];
  /** How often, by what was tried and the code of the refusal. */
  readonly refused: Readonly<Record<string, number>>;
  readonly replaced: readonly (readonly [before: string, after: string])[];
}
