/** A storage of the S3 family behind a real server: refused by name, used, lost, and stood in for. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Emulator } from "../../packages/server/src/storage/s3/emulator/testing.ts";
import { type Answer, send } from "../harness/http-client.ts";
import { eventually, readMetric } from "../harness/process-usage.ts";
import { type ServerProcess, startServer } from "../harness/server-process.ts";

const secretAccessKey = "the-secret-of-a-storage-0123456789";

async function emulator(t: TestContext): Promise<Emulator> {
  const running = await new Emulator({ vendor: "minio", secretAccessKey }).listen();
  t.after(() => running[Symbol.asyncDispose]().catch(() => {}));
  return running;
}

function settingsOf({ endpoint, region, bucket, key }: Emulator): Record<string, unknown> {
  const { accessKeyId } = key;
  const at = endpoint.replace("storage.test", "127.0.0.1");
  const common = { driver: "s3", vendor: "minio", endpoint: at, region, bucket };
  return { ...common, accessKeyId, secretAccessKey };
}

function json(
  server: ServerProcess,
  method: string,
  path: string,
  value: unknown,
): Promise<Answer> {
  return send(server, method, path, { body: JSON.stringify(value) });
}

test("wrong settings of a remote storage are refused by name and reason", async (t) => {
  const far = await emulator(t);
  const server = await startServer(t);
  const right = settingsOf(far);
  const wrong: readonly (readonly [object, RegExp])[] = [
    [{ secretAccessKey: "another" }, /storage far is refused: secretAccessKey: /],
    [{ accessKeyId: "UNKNOWN" }, /storage far is refused: accessKeyId: /],
    [{ bucket: "another" }, /storage far is refused: bucket: /],
    [{ endpoint: "http://127.0.0.1:9" }, /storage far is refused: endpoint: nothing listens/],
  ];
  for (const [setting, detail] of wrong) {
    const answer = await json(server, "PUT", "/v1/storages/far", { ...right, ...setting });
    assert.equal(answer.status, 503, answer.body.toString());
    assert.match(String(JSON.parse(answer.body.toString()).detail), detail);
  }
  assert.equal((await send(server, "GET", "/v1/storages/far")).status, 404);
  assert.equal((await json(server, "PUT", "/v1/storages/far", right)).status, 201);
});

test("a remote storage keeps objects over restarts; its secret is sealed, and told to nobody", async (t) => {
  const far = await emulator(t);
  const server = await startServer(t);
  const added = await json(server, "PUT", "/v1/storages/far", settingsOf(far));
  assert.equal(added.status, 201, added.body.toString());
  assert.equal(JSON.parse(added.body.toString()).secretAccessKey, "[redacted]");
  await json(server, "PUT", "/v1/buckets/b", { placement: "far" });
  const body = randomBytes(300_000);
  const put = await send(server, "PUT", "/v1/objects/b/k", { body });
  assert.equal(put.status, 201, put.body.toString());
  const tested = await send(server, "POST", "/v1/storages/far/test");
  const { ok, refusal } = JSON.parse(tested.body.toString());
  assert.equal(ok, true, refusal);
  await server.stop();
  for (const name of ["metadata.sqlite", "metadata.sqlite-wal"]) {
    const bytes = await readFile(join(server.data, name)).catch(() => Buffer.alloc(0));
    assert.ok(!bytes.includes(secretAccessKey), name);
  }
  assert.ok(!server.log.some(({ text }) => text.includes(secretAccessKey)));
  await server.start();
  const got = await send(server, "GET", "/v1/objects/b/k");
  assert.deepEqual(
    createHash("md5").update(got.body).digest("hex"),
    createHash("md5").update(body).digest("hex"),
  );
  assert.equal(await readMetric(server.opsUrl, "metrics_undeclared_total"), 0);
});

test("when a storage dies the fallback takes new uploads, and only its own objects are out of reach", async (t) => {
  const far = await emulator(t);
  const server = await startServer(t);
  const settings = settingsOf(far);
  assert.equal((await json(server, "PUT", "/v1/storages/far", settings)).status, 201);
  const placement = [{ storage: "far", fallback: "local" }];
  assert.equal((await json(server, "PUT", "/v1/buckets/b", { placement })).status, 201);
  const put = async (key: string): Promise<Record<string, unknown>> => {
    const answer = await send(server, "PUT", `/v1/objects/b/${key}`, { body: "content" });
    return JSON.parse(answer.body.toString());
  };
  assert.equal((await put("before")).storage, "far");
  await far[Symbol.asyncDispose]();
  let count = 0;
  await eventually("the fallback takes over", async () => {
    count += 1;
    return (await put(`during/${count}`)).storage === "local";
  });
  assert.equal((await send(server, "GET", `/v1/objects/b/during/${count}`)).status, 200);
  assert.equal((await send(server, "GET", "/v1/objects/b/before")).status, 503);
  const local = await send(server, "PUT", "/v1/objects/demo/k", { body: "content" });
  assert.equal(local.status, 201);
  // A check that a busy disk answers late fails until it has.
  await eventually("it is ready, and that storage alone fails", async () => {
    const ready = await fetch(`${server.opsUrl}/readyz`);
    const { checks } = (await ready.json()) as { checks: { name: string; ok: boolean }[] };
    const failing = checks.filter((check) => !check.ok).map(({ name }) => name);
    return ready.status === 200 && failing.join() === "storage far";
  });
  assert.equal(await readMetric(server.opsUrl, "storage_breaker_open"), 1);
  assert.equal(await readMetric(server.opsUrl, "metrics_undeclared_total"), 0);
});
