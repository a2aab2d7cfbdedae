/** Health answers at once whatever hangs, and says when the server drains. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Emulator } from "../../packages/server/src/storage/s3/emulator/testing.ts";
import { cleanUp } from "../harness/cleanup.ts";
import { begin, objectPath, send } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { type ServerProcess, startServer } from "../harness/server-process.ts";

async function readyz(server: ServerProcess) {
  const answer = await fetch(`${server.opsUrl}/readyz`);
  const report = Object(await answer.json());
  return { status: answer.status, ...report };
}

/** Within so long, once of some times: a busy machine holds up one or the other, a storage that hangs all of them. */
async function quickly(msMax: number, ask: () => Promise<boolean>): Promise<void> {
  const took: string[] = [];
  for (let time = 0; time < 20; time += 1) {
    const began = performance.now();
    const isSo = await ask();
    const ms = performance.now() - began;
    if (isSo && ms < msMax) return;
    took.push(`${isSo} after ${Math.round(ms)} ms`);
  }
  assert.fail(took.join(", "));
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
  // A check is given a second, which a busy machine may not have for it.
  await eventually("it is well", async () => (await readyz(server)).checks.find(nameOf).ok);
  emulator.fault = () => ({ hang: true });
  const isNamed = async (): Promise<boolean> => {
    const report = await readyz(server);
    return report.status === 200 && !report.checks.find(nameOf).ok;
  };
  await eventually("it is named, and the server ready", isNamed);
  await quickly(1_500, isNamed);
  await quickly(1_000, async () => (await fetch(`${server.opsUrl}/livez`)).status === 200);
  assert.equal((await send(server, "PUT", objectPath("a"), { body: "x" })).status, 201);
  emulator.fault = () => undefined;
  await eventually("it is well again", async () => (await readyz(server)).checks.find(nameOf).ok);
});

test("a server that drains says so until its last request has ended", async (t) => {
  const server = await startServer(t, { flags: ["--drain", "50 s"] });
  const upload = begin(server, "PUT", objectPath("slow"), { headers: { "content-length": "2" } });
  upload.request.write("a");
  await eventually("the upload runs", async () => {
    const metrics = await (await fetch(`${server.opsUrl}/metrics`)).text();
    return /^http_requests_running\{route="objects"\} 1$/m.test(metrics);
  });
  await eventually("it is ready", async () => (await readyz(server)).status === 200);
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
