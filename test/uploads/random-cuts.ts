/** Where connections break, drawn at random: a failed run prints its seed, ROMA_TEST_SEED repeats it. */
import { randomInt } from "node:crypto";
import type { TestContext } from "node:test";

/** Bytes between one cut and the next, so few that all cuts come before a body of this length ends. */
export function cutsBelow(
  t: TestContext,
  { count, length }: { readonly count: number; readonly length: number },
): readonly number[] {
  const random = seededFor(t);
  const most = Math.floor(length / (count + 1));
  return Array.from({ length: count }, () => 1 + Math.floor(random() * most));
}

/** Mulberry32. */
export function seededFor(t: TestContext): () => number {
  let state = Number(process.env.ROMA_TEST_SEED ?? randomInt(2 ** 32 - 1)) >>> 0;
  t.diagnostic(`ROMA_TEST_SEED=${state}`);
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
