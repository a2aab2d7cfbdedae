/** Where connections break, drawn at random: a failed run prints its seed, ROMA_TEST_SEED repeats it. */
import type { TestContext } from "node:test";
import { Random, seedGiven } from "../harness/random.ts";

/** Bytes between one cut and the next, so few that all cuts come before a body of this length ends. */
export function cutsBelow(
  t: TestContext,
  { count, length }: { readonly count: number; readonly length: number },
): readonly number[] {
  const random = seededFor(t);
  const most = Math.floor(length / (count + 1));
  return Array.from({ length: count }, () => 1 + Math.floor(random() * most));
}

export function seededFor(t: TestContext): () => number {
  const seed = seedGiven();
  t.diagnostic(`ROMA_TEST_SEED=${seed}`);
  const random = new Random(seed);
  return () => random.next();
}
