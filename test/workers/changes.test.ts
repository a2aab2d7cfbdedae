/** What is changed through one worker holds in the other when the answer has come. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { begin, send } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { temporaryFolder } from "../harness/server-process.ts";
import { call, json, patiently } from "./requests.ts";
import { type Worker, Workers } from "./workers.ts";

test("changes through one worker hold in the other", async (t) => {
  const workers = await Workers.open(t, { trash: { keep: "0 ms" } });
  const [one, two] = await workers.start(2);
  assert(one !== undefined && two !== undefined);
  await t.test("a key that is disabled or deleted is refused", () => keys(one, two));
  await t.test("a bucket's limit and visibility", () => buckets(one, two));
  await t.test("storages: added, default, drained and retired", (own) => storages(own, one, two));
  await t.test("a silent worker: a key is refused in time, and no storage changes", (own) =>
    silence(own, one, two),
  );
});

async function keys(one: Worker, two: Worker): Promise<void> {
  for (let round = 0; round < 5; round += 1) {
    const made = await json(one, "POST", "/v1/keys", { name: "k", policy: everything });
    const { id, secret } = made as { readonly id: string; readonly secret: string };
    const authorization = `Basic ${btoa(`${id}:${secret}`)}`;
    const asked = (worker: Worker) => send(worker, "GET", "/v1/buckets", { authorization });
    // Each worker keeps it now.
    for (const worker of [one, two]) assert.equal((await asked(worker)).status, 200);
    let goes = true;
    const reading = (async () => {
      while (goes) await asked(two);
    })();
    if (round % 2 === 0) await json(one, "PATCH", `/v1/keys/${id}`, { enabled: false });
    else await json(one, "DELETE", `/v1/keys/${id}`);
    const after = await Promise.all([asked(one), asked(two), asked(two)]);
    goes = false;
    await reading;
    assert.deepEqual(
      after.map(({ status }) => status),
      [401, 401, 401],
    );
  }
}

async function buckets(one: Worker, two: Worker): Promise<void> {
  await json(one, "PUT", "/v1/buckets/b", {});
  for (const [worker, other] of [
    [one, two],
    [two, one],
  ] as const) {
    await json(other, "GET", "/v1/buckets/b");
    await json(worker, "PATCH", "/v1/buckets/b", { maxObjectBytes: 3, visibility: "public-read" });
    const put = await send(other, "PUT", "/v1/objects/b/k", { body: "four" });
    assert.equal(put.status, 413);
    await json(worker, "PATCH", "/v1/buckets/b", { maxObjectBytes: null, visibility: "private" });
    assert.equal(
      (await send(other, "PUT", "/v1/objects/b/k", { body: "four" })).status < 300,
      true,
    );
    const read = await send(other, "GET", "/v1/objects/b/k", { authorization: null });
    assert.equal(read.status, 401);
  }
}

async function storages(t: TestContext, one: Worker, two: Worker): Promise<void> {
  const folder = await temporaryFolder(t);
  await json(one, "PUT", "/v1/storages/a", { driver: "posix", root: join(folder, "a") });
  await json(two, "PUT", "/v1/buckets/on-a", { placement: "a" });
  await json(two, "PUT", "/v1/objects/on-a/k", "k");
  const read = await send(one, "GET", "/v1/objects/on-a/k");
  assert.equal(read.body.toString(), '"k"');
  // An upload that runs in one worker is in the way of the other's changes.
  const bytes = randomBytes(100_000);
  const sent = begin(two, "PUT", "/v1/objects/on-a/slow", {
    headers: { "content-length": `${bytes.length}` },
  });
  sent.request.write(bytes.subarray(0, 50_000));
  await eventually("it runs", async () => (await running(one)) === 1);
  await json(one, "PATCH", "/v1/storages/a", { state: "draining" });
  assert.equal((await send(two, "PUT", "/v1/objects/on-a/new", { body: "x" })).status, 503);
  for (const [method, path, body] of [
    ["PATCH", "/v1/storages/a", { state: "read-only" }],
    ["DELETE", "/v1/storages/a", undefined],
  ] as const) {
    await json(one, "PATCH", "/v1/buckets/on-a", { placement: "local" });
    const refused = await patiently(() => call(one, method, path, body));
    assert.ok([409, 423].includes(refused.status), refused.body.toString());
    assert.match(refused.body.toString(), /1 uploads still run/);
  }
  sent.request.end(bytes.subarray(50_000));
  assert.equal((await sent.answer).status, 201);
  for (const key of ["k", "slow"]) await json(two, "DELETE", `/v1/objects/on-a/${key}`);
  await json(one, "PATCH", "/v1/storages/a", { state: "read-only" });
  const full = await patiently(() => call(two, "DELETE", "/v1/storages/a"));
  assert.equal(full.status, 409, full.body.toString());
  await json(one, "PUT", "/v1/storages/next", { driver: "posix", root: join(folder, "next") });
  await json(two, "PATCH", "/v1/storages/next", { default: true });
  const shown = await json(one, "GET", "/v1/storages/next");
  assert.equal(shown.default, true);
}

async function silence(t: TestContext, one: Worker, two: Worker): Promise<void> {
  const folder = await temporaryFolder(t);
  const made = await json(one, "POST", "/v1/keys", { name: "k", policy: everything });
  const { id, secret } = made as { readonly id: string; readonly secret: string };
  const authorization = `Basic ${btoa(`${id}:${secret}`)}`;
  assert.equal((await send(two, "GET", "/v1/buckets", { authorization })).status, 200);
  two.pause();
  const since = performance.now();
  const refused = call(one, "PATCH", "/v1/storages/next", { state: "draining" });
  await json(one, "PATCH", `/v1/keys/${id}`, { enabled: false });
  assert.ok(performance.now() - since > 4_000, "as long as the other may believe it");
  const answer = await refused;
  assert.equal(answer.status, 503, answer.body.toString());
  const settings = { driver: "posix", root: join(folder, "another") };
  const added = await call(one, "PUT", "/v1/storages/another", settings);
  const { detail, retryable } = JSON.parse(added.body.toString());
  assert.deepEqual([added.status, retryable], [503, true]);
  assert.match(detail, /^a worker of the server does not answer/);
  two.resume();
  assert.equal((await send(two, "GET", "/v1/buckets", { authorization })).status, 401);
  assert.equal((await json(two, "GET", "/v1/storages/next")).state, "active");
}

const everything = [{ buckets: ["*"], actions: ["*"] }];

async function running(worker: Worker): Promise<unknown> {
  const { status } = await json(worker, "GET", "/v1/storages/a");
  return (status as { readonly uploadsRunning?: unknown }).uploadsRunning;
}
