// Tests on random data that can be run again: a failure names its seed, and the environment
// variable ROMA_TEST_SEED sets it.

import { test } from "node:test";

/** Numbers and bytes that depend on the seed only. */
export type Random = {
  /** An integer from 0 to one less than the limit; 0 for a limit of 0. */
  readonly below: (limit: number) => number;
  readonly bytes: (length: number) => Uint8Array;
  readonly pick: (items: readonly number[]) => number;
};

/** A test whose failure starts with the seed. */
export function seededTest(name: string, run: (random: Random) => void | Promise<void>): void {
  test(name, async () => {
    const seed = Number(process.env.ROMA_TEST_SEED ?? Math.floor(Math.random() * 2 ** 32));
    try {
      await run(createRandom(seed));
    } catch (cause) {
      throw new Error(`again with ROMA_TEST_SEED=${seed}`, { cause });
    }
  });
}

function createRandom(seed: number): Random {
  // Marsaglia's xorshift, which must not start at 0.
  let state = seed | 0 || 1;
  const next = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  for (let round = 0; round < 8; round += 1) next();
  const below = (limit: number): number =>
    Math.floor(((next() * 2 ** 21 + (next() >>> 11)) / 2 ** 53) * limit);
  return {
    below,
    bytes: (length) => {
      const words = Uint32Array.from({ length: Math.ceil(length / 4) }, next);
      return new Uint8Array(words.buffer, 0, length);
    },
    pick: (items) => items[below(items.length)] ?? 0,
  };
}
