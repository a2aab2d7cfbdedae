/**
 * Workers come and go, and storages change, while uploads run through all of them: what was acknowledged is whole, and
 * nothing is left over that no row needs.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { test } from "node:test";
import { send } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { temporaryFolder } from "../harness/server-process.ts";
import { createTus, offsetOf, patchTus } from "../uploads/tus-wire.ts";
import { call, json, patiently, sha256 } from "./requests.ts";
import { type Worker, Workers } from "./workers.ts";

const sizes = [0, 1, 70_000, 600_000];

test("workers are replaced, one is killed, and a storage is drained and retired under uploads", async (t) => {
  const folder = await temporaryFolder(t);
  const workers = await Workers.open(t, {
    ...{ blobGrace: "0 ms", trash: { keep: "0 ms" }, uploads: { tidyInterval: "200 ms" } },
    sweeper: { interval: "200 ms", age: "0 ms" },
  });
  let running = await workers.start(2);
  const [first] = running;
  assert(first !== undefined);
  for (const id of ["a", "b"]) {
    await json(first, "PUT", `/v1/storages/${id}`, { driver: "posix", root: join(folder, id) });
  }
  await json(first, "PUT", "/v1/buckets/hot", { placement: "a" });

  const stored = new Map<string, string>();
  const unexpected: string[] = [];
  let goes = true;
  const anyone = (): Worker => {
    const worker = running[Math.floor(Math.random() * running.length)];
    assert(worker !== undefined);
    return worker;
  };
  const put = async (client: number): Promise<void> => {
    for (let count = 0; goes; count += 1) {
      const key = `${client}/${count}`;
      const body = randomBytes(sizes[count % sizes.length] ?? 0);
      await pause();
      try {
        const answer = await send(anyone(), "PUT", `/v1/objects/hot/${key}`, { body });
        if (answer.status === 201) stored.set(key, sha256(body));
        else if (answer.status !== 503) unexpected.push(`${key}: ${answer.status} ${answer.body}`);
      } catch {
        // The worker went: the client may ask again.
      }
    }
  };
  /** Goes on from worker to worker. */
  const resume = async (client: number): Promise<void> => {
    for (let count = 0; goes; count += 1) {
      const key = `tus-${client}/${count}`;
      const body = randomBytes(500_000);
      try {
        const path = await createTus(anyone(), { bucket: "hot", key, length: body.length });
        for (let offset = 0; offset < body.length; ) {
          await pause();
          const next = body.subarray(offset, offset + 130_000);
          const answer = await patchTus(anyone(), path, offset, next).catch(() => undefined);
          if (answer?.status === 204) offset += next.length;
          else offset = (await offsetOf(anyone(), path).catch(() => offset)) ?? body.length;
          if (offset === body.length) stored.set(key, sha256(body));
        }
      } catch {
        // As above.
      }
    }
  };
  const clients = [put(0), put(1), put(2), resume(0), resume(1)];

  await json(anyone(), "PATCH", "/v1/buckets/hot", { placement: "b" });
  await json(anyone(), "PATCH", "/v1/storages/a", { state: "draining" });
  // A rolling restart: the next is there before the last goes, in order.
  for (let turn = 0; turn < 2; turn += 1) {
    const next = await workers.startOne();
    const [old, ...others] = running;
    assert(old !== undefined);
    running = [...others, next];
    await old.stop();
  }
  // And one that dies.
  const [dying, ...others] = running;
  assert(dying !== undefined);
  await dying.kill();
  running = [...others, await workers.startOne()];
  await json(anyone(), "PATCH", "/v1/buckets/hot", { placement: "local" });
  goes = false;
  await Promise.all(clients);
  assert.deepEqual(unexpected, []);
  assert.ok(stored.size > 20, `${stored.size} were stored`);
  for (const [key, digest] of stored) {
    const { status, body } = await send(anyone(), "GET", `/v1/objects/hot/${key}`);
    assert.equal(status, 200, `${key}: ${body}`);
    assert.equal(sha256(body), digest, key);
  }
  // Page by page: the longer all that took, the more there are.
  for (let keys = await listed(anyone()); keys.length > 0; keys = await listed(anyone())) {
    for (const key of keys) await send(anyone(), "DELETE", `/v1/objects/hot/${key}`);
  }
  await eventually("the drained storage is empty and retired", async () => {
    const { status, body } = await patiently(() => call(anyone(), "DELETE", "/v1/storages/a"));
    assert.ok([204, 409, 423].includes(status), body.toString());
    return status === 204;
  });
});

/** So that starting workers get something of the processor. */
async function pause(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 20));
}

async function listed(worker: Worker): Promise<readonly string[]> {
  const { objects } = await json(worker, "GET", "/v1/objects/hot?limit=1000");
  return (objects as readonly { readonly key: string }[]).map(({ key }) => key);
}
