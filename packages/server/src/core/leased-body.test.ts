import assert from "node:assert/strict";
import { test } from "node:test";
import { leasedBody } from "./leased-body.ts";
import type { ObjectBody } from "./ports/storage-driver.ts";

function leased(options: { readonly failing?: boolean } = {}) {
  let released = 0;
  let disposed = 0;
  const chunks = (async function* () {
    yield Buffer.from("a");
    if (options.failing === true) throw new Error("lost");
    yield Buffer.from("b");
  })();
  const inner: ObjectBody = {
    [Symbol.asyncIterator]: () => chunks,
    [Symbol.asyncDispose]: async () => {
      disposed += 1;
    },
  };
  const lease = {
    [Symbol.dispose]: () => {
      released += 1;
    },
  };
  const body = leasedBody(inner, lease);
  return { body, released: () => released, disposed: () => disposed };
}

test("the lease is held while the body is read, and ends with it", async () => {
  const { body, released } = leased();
  const seen: number[] = [];
  let text = "";
  for await (const chunk of body) {
    text += Buffer.from(chunk).toString();
    seen.push(released());
  }
  assert.equal(text, "ab");
  assert.deepEqual(seen, [0, 0]);
  assert.ok(released() > 0);
});

test("a body that fails, ends early or is let go unread ends its lease", async () => {
  const failing = leased({ failing: true });
  await assert.rejects(async () => {
    for await (const _ of failing.body);
  }, /lost/);
  assert.ok(failing.released() > 0);
  const early = leased();
  for await (const _ of early.body) break;
  assert.ok(early.released() > 0);
  const unread = leased();
  await unread.body[Symbol.asyncDispose]();
  assert.deepEqual([unread.released(), unread.disposed()], [1, 1]);
});
