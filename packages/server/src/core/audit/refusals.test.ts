import assert from "node:assert/strict";
import { test } from "node:test";
import type { Refusal } from "../ports/audit-store.ts";
import type { Author } from "../ports/author.ts";
import { systemClock } from "../ports/clock.ts";
import { silentLog } from "../ports/log.ts";
import { silentMeter } from "../ports/meter.ts";
import { type NewRefusal, Refusals } from "./refusals.ts";

const by = (id: string): Author => ({
  ...{ kind: "key", id, grantId: null, context: null, origin: null },
});
const refusal = (id: string, more: Partial<NewRefusal> = {}): NewRefusal => ({
  ...{ author: by(id), code: "access_denied", permission: "object:delete", bucket: "b" },
  ...more,
});

/** With what it appended, and what it only counted. */
function start({ kindsMax = 100, fails = false } = {}) {
  const appended: Refusal[] = [];
  let dropped = 0;
  const refusals = new Refusals({
    metadata: {
      appendRefusals: async (given) => {
        if (fails) throw new Error("the store is gone");
        appended.push(...given);
      },
    },
    clock: systemClock,
    log: silentLog,
    meter: { ...silentMeter, count: () => (dropped += 1) },
    kindsMax,
  });
  const facts = () => appended.map(({ author, key, repeated }) => [author.id, key, repeated]);
  return { refusals, facts, dropped: () => dropped };
}

test("the first of a kind is recorded at once, and how many more there were at the end", async () => {
  const { refusals, facts } = start();
  for (const key of ["k1", "k2", "k3"]) refusals.note(refusal("A", { key }));
  refusals.note(refusal("B"));
  refusals.note(refusal("A", { bucket: "other" }));
  refusals.note(refusal("A", { permission: "object:read" }));
  await Promise.resolve();
  await refusals[Symbol.asyncDispose]();
  assert.deepEqual(facts(), [
    ["A", "k1", undefined],
    ["B", undefined, undefined],
    ["A", undefined, undefined],
    ["A", undefined, undefined],
    ["A", "k1", 2],
  ]);
});

test("of very many kinds those that are too many are only counted", async () => {
  const { refusals, facts, dropped } = start({ kindsMax: 3 });
  for (let index = 0; index < 10; index += 1) refusals.note(refusal(`K${index}`));
  await refusals[Symbol.asyncDispose]();
  assert.equal(facts().length, 3);
  assert.equal(dropped(), 7);
});

test("what says nothing about who asked is not recorded, and a store that fails hurts nobody", async () => {
  const quiet = start();
  quiet.refusals.note(refusal("A", { code: "invalid_request" }));
  quiet.refusals.note(refusal("A", { code: "object_not_found" }));
  await quiet.refusals[Symbol.asyncDispose]();
  assert.deepEqual(quiet.facts(), []);
  const failing = start({ fails: true });
  failing.refusals.note(refusal("A"));
  await failing.refusals[Symbol.asyncDispose]();
});
