/** Why a storage does not open: the same setting and reason for who asks, for `/readyz` and in the log. */
import assert from "node:assert/strict";
import { createServer, request as httpRequest, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { Emulator } from "../../packages/server/src/storage/s3/emulator/testing.ts";
import { send } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { type ServerProcess, startServer } from "../harness/server-process.ts";

const home = "eu-test-1";
const reason = "region: the bucket is in another region (AuthorizationHeaderMalformed)";

async function emulatorIn(t: TestContext, region: string): Promise<Emulator> {
  const emulator = await new Emulator({ vendor: "minio", region }).listen();
  t.after(() => emulator[Symbol.asyncDispose]());
  return emulator;
}

/**
 * One address before a storage that moves. It does not tell where the bucket is now: the driver would
 * follow, and nothing would be refused.
 */
async function movable(t: TestContext, first: Emulator) {
  let target = first;
  const server: Server = createServer((request, response) => {
    const { method, url: path, headers } = request;
    const { port } = new URL(target.endpoint);
    const to = { host: "127.0.0.1", port, method, path, headers, agent: false };
    const onward = httpRequest(to, async (answer) => {
      const chunks: Buffer[] = [];
      for await (const chunk of answer) chunks.push(chunk);
      const body = Buffer.concat(chunks);
      const told = body.toString("latin1");
      const untold = told.replace(/<Region>.*?<\/Region>/, "");
      const { "content-length": _, ...kept } = answer.headers;
      const isError = untold !== told;
      response.writeHead(answer.statusCode ?? 500, isError ? kept : answer.headers);
      response.end(isError ? untold : body);
    });
    onward.on("error", () => response.destroy());
    request.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    moveTo: (emulator: Emulator) => {
      target = emulator;
    },
  };
}

async function call(server: ServerProcess, method: string, path: string, value?: object) {
  const body = value === undefined ? {} : { body: JSON.stringify(value) };
  const answer = await send(server, method, path, body);
  return { status: answer.status, json: JSON.parse(answer.body.toString()) };
}

async function reasonOfReadiness(server: ServerProcess, name: string): Promise<unknown> {
  const answer = await fetch(`${server.opsUrl}/readyz`);
  const { checks } = Object(await answer.json());
  return checks.find((check: { readonly name: string }) => check.name === name).reason;
}

test("a storage of another region is refused by that reason when it is added, and at the start", async (t) => {
  const near = await emulatorIn(t, home);
  const far = await emulatorIn(t, "us-test-2");
  const place = await movable(t, far);
  const server = await startServer(t);
  const settings = {
    driver: "s3",
    vendor: "minio",
    endpoint: place.endpoint,
    region: home,
    bucket: near.bucket,
    accessKeyId: near.key.accessKeyId,
    secretAccessKey: near.key.secretAccessKey,
  };
  const refused = await call(server, "PUT", "/v1/storages/cloud", settings);
  assert.equal(refused.status, 503);
  assert.equal(refused.json.detail, `storage cloud is refused: ${reason}`);

  place.moveTo(near);
  const added = await call(server, "PUT", "/v1/storages/cloud", settings);
  assert.equal(added.status, 201, JSON.stringify(added.json));
  assert.equal(await reasonOfReadiness(server, "storage cloud"), undefined);
  await server.stop();

  place.moveTo(far);
  await server.start();
  const { status } = (await call(server, "GET", "/v1/storages/cloud")).json;
  assert.deepEqual([status.open, status.problem], [false, reason]);
  assert.equal(await reasonOfReadiness(server, "storage cloud"), reason);
  const find = () => server.log.find(({ message }) => message.startsWith("storage cloud"));
  await eventually("it is in the log", () => find() !== undefined);
  const line = find();
  assert.equal(line?.message, `storage cloud is refused: ${reason}`);

  place.moveTo(near);
  const opened = await call(server, "PATCH", "/v1/storages/cloud", { region: home });
  assert.equal(opened.status, 200, JSON.stringify(opened.json));
  assert.equal(opened.json.status.problem, null);
  assert.equal(await reasonOfReadiness(server, "storage cloud"), undefined);
});
