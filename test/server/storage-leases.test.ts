/** How long what runs on a storage may go on after its settings changed: longer than a stop waits. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { begin, send } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { startServer, temporaryFolder } from "../harness/server-process.ts";

test("an upload ends where it began, long after its settings changed; a stop does not wait so long", async (t) => {
  const root = join(await temporaryFolder(t), "disk");
  const server = await startServer(t, { flags: ["--drain", "200 ms"] });
  const call = async (method: string, path: string, value?: object) => {
    const body = value === undefined ? {} : { body: JSON.stringify(value) };
    const answer = await send(server, method, path, body);
    assert.ok(answer.status < 300, answer.body.toString());
    return JSON.parse(answer.body.toString());
  };
  const running = async () => (await call("GET", "/v1/storages/disk")).status.uploadsRunning;
  const isClosedInUse = () =>
    server.log.some(({ message }) => message === "a storage is closed while it is in use");
  const half = Buffer.alloc(100_000, "x");
  const headers = { "content-length": String(2 * half.length) };
  const upload = (key: string) => {
    const begun = begin(server, "PUT", `/v1/objects/b/${key}`, { headers });
    begun.request.write(half);
    return begun;
  };

  await call("PUT", "/v1/storages/disk", { driver: "posix", root });
  await call("PUT", "/v1/buckets/b", { placement: "disk" });
  const slow = upload("slow");
  await eventually("it runs", async () => (await running()) === 1);
  await call("PATCH", "/v1/storages/disk", { syncAfterRename: true });
  assert.equal(await running(), 1, "it runs on what was open before");
  await wait(1_000);
  assert.equal(isClosedInUse(), false);
  slow.request.end(half);
  const answer = await slow.answer;
  assert.equal(answer.status, 201, answer.body.toString());
  await eventually("it has ended", async () => (await running()) === 0);
  const got = await send(server, "GET", "/v1/objects/b/slow");
  assert.deepEqual(got.body, Buffer.concat([half, half]));

  const never = upload("never");
  never.answer.catch(() => undefined);
  await eventually("it runs", async () => (await running()) === 1);
  await call("PATCH", "/v1/storages/disk", { syncAfterRename: false });
  // A fault if it takes longer than a minute: what runs on a storage may take many.
  await server.stop();
});
