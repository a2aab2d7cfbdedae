// Cases of the contract: a list is in byte order, starts anywhere and never shows what is not a blob.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { bytesOf, calm, hanging, keysOf, put, type StorageUnderTest, together } from "./subject.ts";

export function listCases({ open }: StorageUnderTest): void {
  test("a list is in the byte order of whole keys", async (t) => {
    const { driver } = await open(t);
    const keys = together(driver, [
      "a",
      "a b",
      "a!c",
      "a-b",
      "a.b",
      "a/b",
      "a/b/c",
      "a/b-c",
      "a0",
      "ab",
      "b",
      "n/e/s/t",
      "n/e-s",
      "n/e0",
      "é",
      "z",
      "Z",
    ]);
    for (const key of keys) await put(driver, key, key);
    const sorted = keys
      .map((key) => Buffer.from(key))
      .sort(Buffer.compare)
      .map(String);
    const starts = ["", "a", "a/", "a/b", "a/b/", "a/c", "n", "n/", "n/e", "n/e/", "zz"];
    for (const prefix of starts) {
      const below = sorted.filter((key) => key.startsWith(prefix));
      assert.deepEqual(await keysOf(driver, prefix), below, `prefix ${prefix}`);
      for (const after of ["a/b", "a/b/c", "n/e", "n/e-s", "zzz", "é"]) {
        const rest = below.filter(
          (key) => Buffer.compare(Buffer.from(key), Buffer.from(after)) > 0,
        );
        assert.deepEqual(await keysOf(driver, prefix, after), rest, `${prefix} after ${after}`);
      }
    }
  });

  test("1,100 keys are listed once each, and from any key on", async (t) => {
    const { driver } = await open(t);
    const keys = Array.from({ length: 1100 }, (_, index) => {
      const number = String(index).padStart(4, "0");
      return index % 3 === 0 ? `f/${number}` : `f/${number.slice(0, 2)}/${number}`;
    });
    for (let start = 0; start < keys.length; start += 100) {
      await Promise.all(keys.slice(start, start + 100).map((key) => put(driver, key, "x")));
    }
    const sorted = keys.toSorted();
    assert.deepEqual(await keysOf(driver, "f/"), sorted);
    for (const index of [0, 1, 499, 500, 1098, 1099]) {
      assert.deepEqual(await keysOf(driver, "f/", sorted[index]), sorted.slice(index + 1));
    }
    // A page at a time, with changes between pages, each other key is seen exactly once.
    const seen: string[] = [];
    let after: string | undefined;
    for (;;) {
      const options = after === undefined ? { signal: calm } : { signal: calm, after };
      let count = 0;
      for await (const { key } of driver.list("f/", options)) {
        seen.push(key);
        after = key;
        count += 1;
        if (count === 97) break;
      }
      if (count < 97) break;
      await driver.delete(seen[0]!, { signal: calm });
      await put(driver, "e/before", "x");
    }
    assert.deepEqual(seen, sorted);
  });

  test("a list shows each write at once, and no running or aborted put", async (t) => {
    const { driver } = await open(t);
    const controller = new AbortController();
    const { signal } = controller;
    const putting = driver.put("l/running", hanging(bytesOf(100_000), 2), { signal });
    const ended = assert.rejects(putting);
    for (let turn = 0; turn < 20; turn += 1) {
      await put(driver, `l/${turn}`, "x");
      assert.equal((await keysOf(driver, "l/")).length, turn + 1);
    }
    controller.abort();
    await ended;
    assert.equal((await keysOf(driver, "")).length, 20);
    const head = (await Array.fromAsync(driver.list("l/1", { signal: calm })))[0];
    assert.deepEqual([head?.key, head?.length], ["l/1", 1]);
  });
}
