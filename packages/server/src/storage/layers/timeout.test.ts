import { strict as assert } from "node:assert";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import {
  bytesOf,
  calm,
  collect,
  hanging,
  put,
  read,
  rejectsWith,
  soon,
} from "../conformance/subject.ts";
import { openMemoryStorage } from "../memory/driver.ts";
import { type FaultRule, faults } from "./faults.ts";
import { forward } from "./forward.ts";
import { timeout } from "./timeout.ts";

const limits = { answerMs: 60, progressMs: 60 };

function open(rules: readonly FaultRule[]) {
  return timeout(limits)(faults({ rules })(openMemoryStorage({ id: "m" })));
}

for (const operation of ["head", "get", "put", "delete", "probe", "list"] as const) {
  test(`${operation} on a storage that hangs is unavailable in time`, async () => {
    const driver = open([{ operation, fault: { kind: "hang" } }]);
    const calls = {
      head: () => driver.head("k", { signal: calm }),
      get: () => driver.get("k", { signal: calm }),
      put: () => put(driver, "k", "x"),
      delete: () => driver.delete("k", { signal: calm }),
      probe: () => driver.probe({ signal: calm }),
      list: () => Array.fromAsync(driver.list("", { signal: calm })),
    };
    await rejectsWith("unavailable", soon<unknown>(calls[operation]()));
  });
}

test("an aborted caller is answered at once, though the storage hangs", async () => {
  const driver = timeout({ answerMs: 60_000 })(
    faults({ rules: [{ operation: "head", fault: { kind: "hang" } }] })(
      openMemoryStorage({ id: "m" }),
    ),
  );
  const controller = new AbortController();
  const running = driver.head("k", { signal: controller.signal });
  controller.abort(new Error("gone"));
  await assert.rejects(soon(running), /gone/);
});

test("a body that the storage stops giving is unavailable; one that the consumer leaves is not", async () => {
  const driver = open([{ operation: "get", nth: 2, fault: { kind: "stall", at: 100_000 } }]);
  const bytes = bytesOf(300_000);
  await put(driver, "k", bytes);
  const { body } = await driver.get("k", { signal: calm });
  let seen = 0;
  for await (const chunk of body) {
    if (seen === 0) await wait(200);
    seen += chunk.length;
  }
  assert.equal(seen, bytes.length);
  const stalled = await driver.get("k", { signal: calm });
  await rejectsWith("unavailable", soon(collect(stalled.body)));
});

test("a client that sends slowly is not counted against the storage", async () => {
  const driver = open([]);
  async function* slow() {
    for (let turn = 0; turn < 3; turn += 1) {
      yield bytesOf(1000, turn);
      await wait(100);
    }
  }
  assert.equal((await driver.put("k", slow(), { signal: calm })).length, 3000);
});

test("a storage that stops taking the body is unavailable, and sees its signal abort", async () => {
  let inner: AbortSignal | undefined;
  const deaf = forward(openMemoryStorage({ id: "m" }), {
    put: async (_key, body, { signal }) => {
      inner = signal;
      await body[Symbol.asyncIterator]().next();
      return await new Promise(() => undefined);
    },
  });
  const driver = timeout(limits)(deaf);
  await rejectsWith("unavailable", soon(driver.put("k", hanging(bytesOf(10)), { signal: calm })));
  assert.equal(inner?.aborted, true);
});

test("a body that comes too late is disposed", async () => {
  let disposed = false;
  const late = forward(openMemoryStorage({ id: "m" }), {
    get: async (key) => {
      await wait(120);
      const head = { key, length: 0, etag: "", modifiedAt: new Date(), digests: {}, metadata: {} };
      const body = {
        async *[Symbol.asyncIterator]() {},
        async [Symbol.asyncDispose]() {
          disposed = true;
        },
      };
      return { head, body };
    },
  });
  await rejectsWith("unavailable", timeout(limits)(late).get("k", { signal: calm }));
  for (let turn = 0; turn < 100 && !disposed; turn += 1) await wait(20);
  assert.equal(disposed, true);
});

test("a call that ends in time leaves no timer and no listener", async () => {
  const driver = open([]);
  const { signal } = new AbortController();
  let listeners = 0;
  const counting = Object.create(signal, {
    aborted: { get: () => false },
    addEventListener: { value: () => (listeners += 1) },
    removeEventListener: { value: () => (listeners -= 1) },
    throwIfAborted: { value: () => undefined },
  }) as AbortSignal;
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
  const before = timers();
  await put(driver, "k", bytesOf(100_000), { signal: counting });
  await read(driver, "k", { signal: counting });
  const { body } = await driver.get("k", { signal: counting });
  await body[Symbol.asyncDispose]();
  for await (const _ of driver.list("", { signal: counting })) break;
  await driver.delete("k", { signal: counting });
  assert.deepEqual([listeners, timers()], [0, before]);
});
