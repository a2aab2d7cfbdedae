/** Destroying very many objects in steps: what is refused, what a plan holds, and that it can be undone. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { BulkDeleteJson } from "@roma/contract";
import type { RunningServer } from "../../packages/server/src/server.ts";
import { call, listening, rootKey, start } from "../environment/server.ts";
import { send } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { type ServerProcess, startServer } from "../harness/server-process.ts";
import { temporaryFolder } from "../harness/temporary-folder.ts";

type At = RunningServer;

async function post(server: At, path: string, body: object = {}, as = rootKey) {
  const headers = { authorization: `Bearer ${as.id}.${as.secret}` };
  const answer = await call(server, "POST", `/v1/bulk-deletes${path}`, {
    headers,
    body: JSON.stringify(body),
  });
  const json = JSON.parse(answer.text) as BulkDeleteJson & { readonly code: string };
  return { status: answer.status, ...json };
}

async function put(server: At, bucket: string, key: string, body = key): Promise<void> {
  const answer = await call(server, "PUT", `/v1/objects/${bucket}/${key}`, { body });
  assert.ok(answer.status < 300, answer.text);
}

async function keysOf(server: At, bucket: string): Promise<readonly string[]> {
  const { objects } = JSON.parse((await call(server, "GET", `/v1/objects/${bucket}`)).text);
  return objects.map(({ key, version }: { key: string; version: string }) => `${key} ${version}`);
}

async function stateOf(server: At, id: string): Promise<BulkDeleteJson> {
  return JSON.parse((await call(server, "GET", `/v1/bulk-deletes/${id}`)).text);
}

async function reaches(server: At, id: string, state: string): Promise<BulkDeleteJson> {
  await eventually(`${id} is ${state}`, async () => (await stateOf(server, id)).state === state);
  return await stateOf(server, id);
}

async function ordinaryKey(server: At, actions: readonly string[]) {
  const body = JSON.stringify({ name: "k", policy: [{ buckets: ["*"], actions }] });
  const { id, secret } = JSON.parse((await call(server, "POST", "/v1/keys", { body })).text);
  return { id: String(id), secret: String(secret) };
}

test("planned, confirmed with bucket and environment, run past the cap, and undone: every version is back", async (t) => {
  await using server = await start(await temporaryFolder(t), {
    ...{ log: listening().log, environment: "production", trash: { productionDeletesPerHour: 1 } },
  });
  const settings = JSON.stringify({ trash: null });
  await call(server, "PUT", "/v1/buckets/b", { body: settings });
  for (let n = 0; n < 30; n++) await put(server, "b", `old/${n}`);
  await put(server, "b", "kept");
  const before = await keysOf(server, "b");
  const plan = await post(server, "", { bucket: "b", prefix: "old/" });
  assert.equal(plan.status, 201);
  assert.deepEqual([plan.state, plan.objects, plan.deleted], ["planned", 30, 0]);
  assert.ok(plan.samples.includes("old/0") && plan.samples.includes("old/9"));
  assert.deepEqual(await keysOf(server, "b"), before, "a plan changes nothing");
  const typed = { bucket: "b", environment: "production", digest: plan.digest };
  for (const [wrong, code] of [
    [{ ...typed, bucket: "c" }, "invalid_request"],
    [{ ...typed, environment: "development" }, "environment_mismatch"],
    [{ ...typed, environment: null }, "environment_mismatch"],
    [{ ...typed, digest: "0".repeat(64) }, "invalid_request"],
  ] as const) {
    assert.equal((await post(server, `/${plan.id}/confirm`, wrong)).code, code);
  }
  assert.equal((await post(server, `/${plan.id}/confirm`, typed)).state, "running");
  await put(server, "b", "old/new", "came later");
  const done = await reaches(server, plan.id, "done");
  assert.deepEqual([done.deleted, done.retained], [30, 0]);
  const left = (await keysOf(server, "b")).map((line) => line.split(" ")[0]);
  assert.deepEqual(left, ["kept", "old/new"], "what came after the plan stays");
  assert.equal((await post(server, `/${plan.id}/undo`)).state, "undoing");
  const undone = await reaches(server, plan.id, "undone");
  assert.deepEqual([undone.restored, undone.skipped], [30, 0]);
  const back = (await keysOf(server, "b")).filter((line) => !line.startsWith("old/new "));
  assert.deepEqual(back, before);
});

test("a prefix that means everything or nothing is refused, with the reason", async (t) => {
  await using server = await start(await temporaryFolder(t), { log: listening().log });
  const wrong = ["", " ", "*", "/", "//", ".", "undefined", "null", "undefined/", "NaN", "None"];
  for (const prefix of [...wrong, "$PREFIX", `$${"{PREFIX}"}`, "%PREFIX%", "{{ prefix }}"]) {
    const refused = await post(server, "", { bucket: "demo", prefix });
    assert.equal(refused.status, 400, JSON.stringify(prefix));
  }
  assert.equal(
    (await post(server, "", { bucket: "demo", prefix: "undefined-behaviour/" })).status,
    201,
  );
});

test("a plan that changed before it was confirmed is refused, and another plan is not", async (t) => {
  await using server = await start(await temporaryFolder(t), { log: listening().log });
  for (const key of ["p/1", "p/2"]) await put(server, "demo", key);
  const typed = { bucket: "demo", environment: null };
  for (const change of ["DELETE", "PUT"]) {
    const plan = await post(server, "", { bucket: "demo", prefix: "p/" });
    const init = change === "PUT" ? { body: "replaced" } : {};
    await call(server, change, "/v1/objects/demo/p/2", init);
    const given = { ...typed, digest: plan.digest };
    const refused = await post(server, `/${plan.id}/confirm`, given);
    assert.deepEqual([refused.status, refused.code], [409, "plan_changed"]);
    await put(server, "demo", "p/2");
  }
  assert.equal((await keysOf(server, "demo")).length, 2);
});

test("keys that may do everything else may not, and a bucket that asks for two gets two different ones", async (t) => {
  await using server = await start(await temporaryFolder(t), { log: listening().log });
  await call(server, "PUT", "/v1/buckets/b", { body: '{"bulkDeleteApprovals":2}' });
  await put(server, "b", "p/1");
  const everything = await ordinaryKey(server, ["*"]);
  const second = await ordinaryKey(server, ["bulk:delete"]);
  const asked = { bucket: "b", prefix: "p/" };
  assert.equal((await post(server, "", asked, everything)).code, "access_denied");
  const plan = await post(server, "", asked);
  const typed = { bucket: "b", environment: null, digest: plan.digest };
  assert.equal(
    (await post(server, `/${plan.id}/confirm`, typed, everything)).code,
    "access_denied",
  );
  assert.equal((await post(server, `/${plan.id}/confirm`, typed)).state, "confirmed");
  assert.equal((await post(server, `/${plan.id}/confirm`, typed)).code, "access_denied");
  assert.equal((await keysOf(server, "b")).length, 1);
  assert.equal((await post(server, `/${plan.id}/confirm`, typed, second)).state, "running");
  await reaches(server, plan.id, "done");
  assert.equal((await keysOf(server, "b")).length, 0);
});

test("what is held stays, the hour's number is not passed, and a stop holds", async (t) => {
  const bulkDelete = { perHour: 3 };
  await using server = await start(await temporaryFolder(t), { log: listening().log, bulkDelete });
  for (let n = 0; n < 6; n++) await put(server, "demo", `p/${n}`);
  const held = JSON.stringify({ legalHold: true });
  assert.equal((await call(server, "PATCH", "/v1/objects/demo/p/0", { body: held })).status, 200);
  const plan = await post(server, "", { bucket: "demo", prefix: "p/" });
  const typed = { bucket: "demo", environment: null, digest: plan.digest };
  await post(server, `/${plan.id}/confirm`, typed);
  await eventually("three are deleted", async () => (await stateOf(server, plan.id)).deleted === 3);
  assert.equal((await post(server, `/${plan.id}/stop`)).state, "stopped");
  const left = await keysOf(server, "demo");
  assert.equal(left.length, 3);
  assert.match(left[0] ?? "", /^p\/0 /);
  assert.equal((await post(server, `/${plan.id}/confirm`, typed)).code, "precondition_failed");
});

test("a kill in the middle of a bulk delete, and of an undo: both go on, each object once", async (t) => {
  const total = 400;
  const server = await startServer(t, { flags: ["--bulk-delete-per-second", "50"] });
  const json = async (method: string, path: string, body?: object) => {
    const init = body === undefined ? {} : { body: JSON.stringify(body) };
    return JSON.parse((await send(server, method, path, init)).body.toString());
  };
  for (let n = 0; n < total; n++) {
    const target = `/v1/objects/demo/p/${n}`;
    assert.equal((await send(server, "PUT", target, { body: `${n}` })).status, 201);
  }
  const { objects: before } = await json("GET", "/v1/objects/demo");
  const plan = await json("POST", "/v1/bulk-deletes", { bucket: "demo", prefix: "p/" });
  const path = `/v1/bulk-deletes/${plan.id}`;
  await json("POST", `${path}/confirm`, { bucket: "demo", environment: null, digest: plan.digest });
  const seen = async () => json("GET", path) as Promise<BulkDeleteJson>;
  await killedOnce(server, async () => (await seen()).deleted > 0);
  await eventually("it is done", async () => (await seen()).state === "done");
  assert.equal((await seen()).deleted, total);
  assert.equal((await json("GET", "/v1/objects/demo")).objects.length, 0);
  await json("POST", `${path}/undo`);
  await killedOnce(server, async () => (await seen()).restored > 0);
  await eventually("it is undone", async () => (await seen()).state === "undone");
  assert.equal((await seen()).restored, total);
  assert.deepEqual((await json("GET", "/v1/objects/demo")).objects, before);
});

async function killedOnce(server: ServerProcess, isUnderWay: () => Promise<boolean>) {
  await eventually("it is under way", isUnderWay);
  await server.kill();
  await server.start();
}
