/** Health answers at once whatever hangs, and says when the server drains. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Emulator } from "../../packages/server/src/storage/s3/emulator/testing.ts";
import { cleanUp } from "../harness/cleanup.ts";
import { begin, objectPath, send } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { type ServerProcess, startServer } from "../harness/server-process.ts";

async function readyz(server: ServerProcess) {
  const began = performance.now();
  const answer = await fetch(`${server.opsUrl}/readyz`);
  const report = Object(await answer.json());
  return { status: answer.status, ms: performance.now() - began, ...report };
}

test("a storage that hangs is named with its age within a second, again and again, and hurts no other", async (t) => {
  const emulator = await new Emulator({ vendor: "minio" }).listen();
  cleanUp(t, () => emulator[Symbol.asyncDispose]());
  const server = await startServer(t);
  const settings = {
    ...{ driver: "s3", vendor: "minio", bucket: emulator.bucket },
    ...{ endpoint: emulator.endpoint.replace("storage.test", "127.0.0.1") },
    ...{ accessKeyId: emulator.key.accessKeyId, secretAccessKey: emulator.key.secretAccessKey },
  };
  const body = JSON.stringify(settings);
  assert.equal((await send(server, "PUT", "/v1/storages/cloud", { body })).status, 201);
  const nameOf = ({ name }: { readonly name: string }) => name === "storage cloud";
  assert.equal((await readyz(server)).checks.find(nameOf).ok, true);
  emulator.fault = () => ({ hang: true });
  await eventually("it is named", async () => {
    const report = await readyz(server);
    assert.ok(report.ms < 1_500, `${report.ms} ms`);
    assert.equal(report.status, 200);
    return !report.checks.find(nameOf).ok;
  });
  const livez = performance.now();
  assert.equal((await fetch(`${server.opsUrl}/livez`)).status, 200);
  assert.ok(performance.now() - livez < 1_000);
  assert.equal((await send(server, "PUT", objectPath("a"), { body: "x" })).status, 201);
  emulator.fault = () => undefined;
  await eventually(
    "it is well again",
    async () => (await readyz(server)).checks.find(nameOf).ok,
    40_000,
  );
});

test("a server that drains says so until its last request has ended", async (t) => {
  const server = await startServer(t, { flags: ["--drain", "20 s"] });
  const upload = begin(server, "PUT", objectPath("slow"), { headers: { "content-length": "2" } });
  upload.request.write("a");
  await eventually("the upload runs", async () => {
    const metrics = await (await fetch(`${server.opsUrl}/metrics`)).text();
    return /^http_requests_running\{route="objects"\} 1$/m.test(metrics);
  });
  assert.equal((await readyz(server)).status, 200);
  const stopped = server.stop();
  await eventually("it drains", async () => {
    const report = await readyz(server);
    return report.status === 503 && report.draining === true;
  });
  assert.equal((await fetch(`${server.opsUrl}/livez`)).status, 200);
  upload.request.end("b");
  assert.equal((await upload.answer).status, 201);
  await stopped;
});
