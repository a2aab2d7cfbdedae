/** Connections that break, at any byte: no wrong bytes, no half blob, and no answer taken for another. */
import { strict as assert } from "node:assert";
import { randomInt } from "node:crypto";
import { describe, test } from "node:test";
import { isOperationalError } from "../../packages/server/src/core/errors.ts";
import type { Part, StorageDriver } from "../../packages/server/src/core/ports/storage-driver.ts";
import {
  assertSame,
  bytesOf,
  calm,
  keysOf,
  put,
  read,
  rejectsWith,
} from "../../packages/server/src/storage/conformance/subject.ts";
import { eventually } from "../harness/process-usage.ts";
import type { FaultProxy, ProxiedRequest } from "./fault-proxy.ts";
import { neverOpen, type ProxiedStorage, proxiedStorages } from "./storage.ts";

const MiB = 1024 * 1024;
const layers = { breaker: neverOpen, retry: { backoffMsMin: 1, backoffMsMax: 2 } };
const settings = { partBytes: 5 * MiB };
const isComplete = ({ method, target }: ProxiedRequest): boolean =>
  method === "POST" && target.includes("uploadId");

const isCreate = ({ method, target }: ProxiedRequest): boolean =>
  method === "POST" && /[?&]uploads/.test(target);

const old = bytesOf(50_000, 1);
const puts = [
  { what: "a short put", bytes: bytesOf(20_000, 2), options: {} },
  { what: "a streamed put", bytes: bytesOf(700_000, 3), options: { length: 700_000 } },
  { what: "a put in parts", bytes: bytesOf(5 * MiB + 70_000, 4), options: {} },
];

for (const [name, open] of Object.entries(proxiedStorages)) {
  describe(`connections that break: ${name}`, () => {
    test("a put whose requests are reset at random bytes leaves the old blob, and says so", async (t) => {
      const random = seededFor(t);
      const storage = await open(t, layers, settings);
      // From the head's first byte to the last of the body; repetitions meet the same.
      const resets = (chance: number) => (request: ProxiedRequest) => {
        const at = Math.floor(random() * request.length);
        return random() < chance ? ({ kind: "resetRequest", at } as const) : undefined;
      };
      const always = await putAll(storage, resets(1));
      assert.deepEqual(new Set(always), new Set(["failed: old"]));
      const often = await putAll(storage, resets(0.3));
      // A put may be through, and the question whether it is not.
      const right = new Set(["succeeded: new", "failed: old", "failed: new"]);
      assert.ok(
        often.every((outcome) => right.has(outcome)),
        often.join(),
      );
      assert.ok(often.includes("succeeded: new"), "some were repeated and passed");
      await assertNoUpload(storage.direct);
    });

    test("a put whose answers are reset at random bytes: one blob or the other, whole, and the new one where it succeeded", async (t) => {
      const random = seededFor(t);
      const storage = await open(t, layers, settings);
      let resets = 0;
      const outcomes = await putAll(storage, (request) => {
        const at = Math.floor(random() * 200);
        if (isCreate(request) || random() > 0.4) return undefined;
        resets += 1;
        return { kind: "resetAnswer", at };
      });
      const right = new Set(["succeeded: new", "failed: old", "failed: new"]);
      assert.ok(
        outcomes.every((outcome) => right.has(outcome)),
        outcomes.join(),
      );
      assert.ok(resets > 0);
      await assertNoUpload(storage.direct);
    });

    test("an upload whose creation was never heard of is listed as pending, and cancelled by that", async (t) => {
      const { proxy, driver, direct } = await open(t, layers, settings);
      proxy.fault = (request) => (isCreate(request) ? { kind: "loseAnswer" } : undefined);
      await rejectsWith("unavailable", put(driver, "blob", bytesOf(6 * MiB, 8)));
      proxy.fault = () => undefined;
      const { parts } = driver;
      assert.ok(parts);
      const pending = await Array.fromAsync(parts.listPending("", { signal: calm }));
      assert.deepEqual(new Set(pending.map(({ key }) => key)), new Set(["blob"]));
      for (const upload of pending) await parts.cancel(upload, { signal: calm });
      await assertNoUpload(direct);
      assert.deepEqual(await keysOf(direct), []);
    });

    test("a get that is reset at random bytes gives right bytes or an error, never a short body", async (t) => {
      const random = seededFor(t);
      const { proxy, driver } = await open(t, layers);
      const bytes = bytesOf(400_000, 5);
      await put(driver, "blob", bytes);
      let failed = 0;
      for (let round = 0; round < 60; round += 1) {
        const firstByte = round % 3 === 0 ? Math.floor(random() * bytes.length) : 0;
        proxy.fault = () => ({ kind: "resetAnswer", at: Math.floor(random() * bytes.length) });
        if (!(await getsPrefix(driver, bytes.subarray(firstByte), firstByte))) failed += 1;
      }
      assert.ok(failed > 30, `only ${failed} gets failed`);
      proxy.fault = () => undefined;
      assertSame(await read(driver, "blob"), bytes);
    });

    test("half of a body is never a whole one, even where the storage says that it is", async (t) => {
      const { proxy, driver } = await open(t, layers);
      const bytes = bytesOf(400_000, 5);
      const head = await put(driver, "blob", bytes);
      const half = bytes.length / 2;
      proxy.fault = () => ({ kind: "cutBody", at: half });
      assert.equal(await getsPrefix(driver, bytes, 0), false);
      await rejectsWith("unavailable", read(driver, "blob", { firstByte: 10 }));
      proxy.fault = () => ({ kind: "shortenBody", at: half });
      const { crc64nvme } = head.digests;
      assert.ok(crc64nvme);
      const expected = { length: bytes.length, crc64nvme };
      await assert.rejects(read(driver, "blob", { expected }), isOperationalError);
    });

    test("a completion whose answer is lost succeeds: one blob, whole, and no upload left", async (t) => {
      const { proxy, driver, direct } = await open(t, layers, settings);
      const bytes = bytesOf(6 * MiB, 6);
      loseOnce(proxy);
      const head = await put(driver, "blob", bytes);
      assert.equal(head.length, bytes.length);
      assert.equal(proxy.requests.filter((line) => line.startsWith("POST")).length, 2);
      assert.deepEqual(await keysOf(direct), ["blob"]);
      assertSame(await read(direct, "blob"), bytes);
      await assertNoUpload(direct);
    });

    test("an upload is completed once, however often its answer is lost and it is asked again", async (t) => {
      const { proxy, driver, direct } = await open(t, layers, settings);
      const { parts } = driver;
      assert.ok(parts);
      const bytes = bytesOf(5 * MiB + 9, 7);
      const upload = await parts.create("blob", { signal: calm, partBytes: 5 * MiB });
      const written: Part[] = [];
      for (const [index, part] of [bytes.subarray(0, 5 * MiB), bytes.subarray(5 * MiB)].entries()) {
        const options = { signal: calm, digests: {} };
        written.push(await parts.writePart(upload, index + 1, part, options));
      }
      loseOnce(proxy);
      const complete = () =>
        parts.complete(upload, written, { signal: calm, length: bytes.length });
      const first = await complete();
      const second = await complete();
      assert.deepEqual([second.etag, second.length], [first.etag, bytes.length]);
      assert.deepEqual(await keysOf(direct), ["blob"]);
      assertSame(await read(direct, "blob"), bytes);
    });

    test("a completion that never arrived fails, and nothing of its put stays", async (t) => {
      const { proxy, driver, direct } = await open(t, layers, settings);
      proxy.fault = (request) =>
        isComplete(request) ? { kind: "resetRequest", at: request.length - 1 } : undefined;
      await rejectsWith("unavailable", put(driver, "blob", bytesOf(6 * MiB, 8)));
      proxy.fault = () => undefined;
      assert.deepEqual(await keysOf(direct), []);
      await assertNoUpload(direct);
    });
  });
}

/** Puts over old blobs, side by side: for each, whether it succeeded, and what is there. */
async function putAll(
  { proxy, driver, direct }: ProxiedStorage,
  fault: FaultProxy["fault"],
): Promise<readonly string[]> {
  const all = puts.flatMap((one, index) =>
    Array.from({ length: 5 }, (_, round) => ({ ...one, key: `blob-${index}-${round}` })),
  );
  await Promise.all(all.map(({ key }) => put(direct, key, old)));
  proxy.fault = fault;
  const succeeded = await Promise.all(
    all.map(({ key, bytes, options }) => succeeds(put(driver, key, bytes, options))),
  );
  proxy.fault = () => undefined;
  const found = await Promise.all(all.map(({ key }) => read(direct, key)));
  return all.map(({ what, bytes }, index) => {
    const content = found[index] ?? Buffer.alloc(0);
    const isOld = content.length === old.length;
    assertSame(content, isOld ? old : bytes, `the bytes after ${what}`);
    return `${succeeded[index] ? "succeeded" : "failed"}: ${isOld ? "old" : "new"}`;
  });
}

function loseOnce(proxy: FaultProxy): void {
  let lost = false;
  proxy.fault = (request) => {
    if (lost || !isComplete(request)) return undefined;
    lost = true;
    return { kind: "loseAnswer" };
  };
}

/** False where it failed as storages do; any other failure is the test's. */
async function succeeds(running: Promise<unknown>): Promise<boolean> {
  try {
    await running;
    return true;
  } catch (error) {
    if (isOperationalError(error, "unavailable")) return false;
    throw error;
  }
}

/** Whether all bytes came; those that came are right in any case. */
async function getsPrefix(
  driver: StorageDriver,
  bytes: Uint8Array,
  firstByte: number,
): Promise<boolean> {
  const chunks: Uint8Array[] = [];
  const whole = await succeeds(
    (async () => {
      const { body } = await driver.get("blob", { signal: calm, firstByte });
      for await (const chunk of body) chunks.push(Uint8Array.from(chunk));
    })(),
  );
  const received = Buffer.concat(chunks);
  if (whole) assert.equal(received.length, bytes.length, "a short body that looks whole");
  assertSame(received, bytes.subarray(0, received.length), "bytes that came");
  return whole;
}

async function assertNoUpload(direct: StorageDriver): Promise<void> {
  await eventually("no upload left", async () => {
    const pending = direct.parts?.listPending("", { signal: calm });
    return pending !== undefined && (await Array.fromAsync(pending)).length === 0;
  });
}

/** The same draws for the same ROMA_TEST_SEED, which the run prints. */
function seededFor(t: { diagnostic(message: string): void }): () => number {
  let state = Number(process.env.ROMA_TEST_SEED ?? randomInt(2 ** 32 - 1)) >>> 0;
  t.diagnostic(`ROMA_TEST_SEED=${state}`);
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
