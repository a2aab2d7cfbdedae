/** The link to a thread: what becomes of calls when the thread ends or is asked too much. */
import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import { OperationalError } from "../../core/errors.ts";
import type { Budget, Cancellable } from "../../core/ports/budget.ts";
import { type Log, silentLog } from "../../core/ports/log.ts";
import { silentMeter } from "../../core/ports/meter.ts";
import { at, author, bucket, deletedAt, garbageDueAt, withCode } from "../conformance-samples.ts";
import { CallPlaces } from "./call-places.ts";
import { startWorker, WorkerLink } from "./worker-link.ts";

/** What the store gives to each call that changes something. */
const recorded = { author, at: at(1) };
const deleting = { ...recorded, deletedAt, garbageDueAt };
const none = { deleted: [], refused: [] };

function writerOf(
  t: TestContext,
  options: { readonly callsMax?: number; readonly log?: Log } = {},
) {
  const folder = mkdtempSync(join(tmpdir(), "roma-metadata-"));
  const places = new CallPlaces(1000);
  const path = join(folder, "metadata.sqlite");
  const alone = { isAlone: true, isShared: false };
  const worker = startWorker({ role: "writer", path, ...alone }, places);
  t.after(async () => {
    await worker.terminate();
    rmSync(folder, { recursive: true, force: true });
  });
  const { callsMax = 100, log = silentLog } = options;
  return {
    path,
    worker,
    link: new WorkerLink({ role: "writer", worker, places, log, meter: silentMeter, callsMax }),
  };
}

test("a thread that ends fails every pending and later call with unavailable, and is logged", async (t) => {
  const errors: string[] = [];
  const log = { ...silentLog, error: (_: object, message: string) => errors.push(message) };
  const { worker, link } = writerOf(t, { log });
  await link.open();
  const calls = Array.from({ length: 10 }, (_, index) =>
    link.call("putSetting", [`n${index}`, ""]),
  );
  const settled = Promise.allSettled(calls);
  await worker.terminate();
  for (const result of await settled) {
    assert.equal(result.status, "rejected");
    withCode("unavailable")(result.status === "rejected" && result.reason);
  }
  await assert.rejects(link.call("putSetting", ["n", ""]), withCode("unavailable"));
  assert.deepEqual(errors, [
    "a thread of the metadata store ended; the store answers no more calls",
  ]);
  await link[Symbol.asyncDispose]();
});

test("a thread that ends before it is open fails the opening", async (t) => {
  const { worker, link } = writerOf(t);
  const opening = link.open();
  const refused = assert.rejects(opening, withCode("unavailable"));
  await worker.terminate();
  await refused;
});

test("calls over the bound are refused with overloaded, the others and later ones succeed", async (t) => {
  const { link } = writerOf(t, { callsMax: 100 });
  await link.open();
  const calls = Array.from({ length: 1000 }, (_, index) =>
    link.call("putSetting", [`n${index}`, ""]),
  );
  const results = await Promise.allSettled(calls);
  assert.ok(results.slice(0, 100).every(({ status }) => status === "fulfilled"));
  for (const result of results.slice(100)) {
    withCode("overloaded")(result.status === "rejected" && result.reason);
  }
  await link.call("putSetting", ["later", ""]);
  await link[Symbol.asyncDispose]();
});

test("calls that name too many keys together are refused, a single one of any size is not", async (t) => {
  const { link } = writerOf(t);
  await link.open();
  await link.call("createBucket", [bucket("b"), recorded]);
  const keys = Array.from({ length: 40_000 }, (_, index) => `k${index}`);
  const attempt = () => link.call("deleteObjects", ["b", keys, deleting]);
  const results = await Promise.allSettled([attempt(), attempt(), attempt()]);
  assert.deepEqual(
    results.map(({ status }) => status),
    ["fulfilled", "rejected", "rejected"],
  );
  for (const result of results.slice(1)) {
    withCode("overloaded")(result.status === "rejected" && result.reason);
  }
  const huge = [...keys, ...keys];
  assert.deepEqual(await link.call("deleteObjects", ["b", huge, deleting]), none);
  await link[Symbol.asyncDispose]();
});

test("an argument that cannot be sent fails its own call and no other of its batch", async (t) => {
  const { link } = writerOf(t);
  await link.open();
  const [good, bad, alsoGood] = await Promise.allSettled([
    link.call("createBucket", [bucket("one"), recorded]),
    link.call("createBucket", [{ ...bucket("two"), placement: () => {} }, recorded]),
    link.call("createBucket", [bucket("three"), recorded]),
  ]);
  assert.equal(good.status, "fulfilled");
  assert.equal(alsoGood.status, "fulfilled");
  withCode("internal")(bad.status === "rejected" && bad.reason);
  await link[Symbol.asyncDispose]();
});

test("closing a link that was never opened ends its thread", async (t) => {
  const { link } = writerOf(t);
  await link[Symbol.asyncDispose]();
  await assert.rejects(link.call("probe", []), withCode("unavailable"));
});

/** A request's, that ends when the test says so. */
class TestBudget implements Budget {
  failure: OperationalError | undefined;
  readonly idempotency = undefined;
  readonly waiting = new Set<Cancellable>();
  addCancellable(one: Cancellable): void {
    this.waiting.add(one);
  }
  deleteCancellable(one: Cancellable): void {
    this.waiting.delete(one);
  }
  end(failure: OperationalError): void {
    this.failure = failure;
    for (const one of this.waiting) one.cancel(failure);
  }
}

test("a call whose budget ends while the store is locked is rejected at once, and never has an effect", async (t) => {
  const { link, path } = writerOf(t);
  await link.open();
  const other = new DatabaseSync(path);
  other.exec("begin immediate");
  const budget = new TestBudget();
  const ended = link.call("putSetting", ["ended", ""], { budget });
  const stays = link.call("putSetting", ["stays", ""], { budget, isGivenUpFor: () => false });
  const rejected = assert.rejects(ended, { message: "too late" });
  // The thread has them by now, and waits for the lock.
  await new Promise((done) => setTimeout(done, 100));
  budget.end(new OperationalError("unavailable", "too late"));
  await rejected;
  other.exec("rollback");
  await stays;
  const names = other.prepare("select name from settings").all();
  assert.deepEqual(
    names.map(({ name }) => name),
    ["stays"],
  );
  assert.equal(budget.waiting.size, 0);
  other.close();
  await link[Symbol.asyncDispose]();
});

test("a call that was begun when its budget ends is answered with what it did", async (t) => {
  const { link } = writerOf(t);
  await link.open();
  const budget = new TestBudget();
  const outcomes: Promise<unknown>[] = [];
  for (let index = 0; index < 200; index++) {
    outcomes.push(link.call("putSetting", [`n${index}`, ""], { budget }));
  }
  const settled = Promise.allSettled(outcomes);
  await outcomes[0];
  budget.end(new OperationalError("unavailable", "too late"));
  const done = (await settled).filter(({ status }) => status === "fulfilled").length;
  await link[Symbol.asyncDispose]();
  assert.ok(done > 0);
  assert.equal(budget.waiting.size, 0);
});
