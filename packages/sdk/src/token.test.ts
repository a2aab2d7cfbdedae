/** A token that is refused is let go once, whoever met it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Token } from "./token.ts";

test("calls that are refused one after the other, however close, fetch one new token", async () => {
  for (let turns = 0; turns < 12; turns += 1) {
    let asked = 0;
    const token = new Token(() => `id.${++asked}`);
    const used = await token.get();
    const again = async () => {
      assert.equal(await token.refused(used), true);
      return await token.get();
    };
    const first = again();
    for (let turn = 0; turn < turns; turn += 1) await undefined;
    assert.deepEqual(await Promise.all([first, again()]), ["id.2", "id.2"], `${turns} turns later`);
  }
});
