/** What tus-js-client in Node asks of a server and the storage behind it, the same for each storage. */
import { strict as assert } from "node:assert";
import { createReadStream } from "node:fs";
import { describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { startCuttingProxy } from "../harness/cutting-proxy.ts";
import { assertNothingPending, type OpenBacking } from "./backing.ts";
import { atBytes, startNodeUpload } from "./node-client.ts";
import { cutsBelow } from "./random-cuts.ts";
import { assertServed, randomFile } from "./stored-bytes.ts";

const MB = 1_000_000;
/** Longer than a writer's lease lasts without being renewed. */
const pauseMs = 6_000;

export function describeNodeClient(name: string, open: OpenBacking): void {
  describe(`tus-js-client in Node, ${name}`, () => {
    test("300 MB come whole through 20 resets at random bytes", async (t) => {
      const backing = await open(t);
      const file = await randomFile(t, 300 * MB);
      const cuts = cutsBelow(t, { count: 20, length: file.length });
      const proxy = await startCuttingProxy(t, { upstream: () => backing.server, cuts });
      const { done, methods } = startNodeUpload(createReadStream(file.path), {
        endpoint: `${proxy.url}/tus/demo`,
        key: "large",
      });
      await done;
      assert.equal(proxy.cutsDone, cuts.length, "every cut came");
      assert.equal(methods.filter((method) => method === "POST").length, 1, "it never began anew");
      const again = proxy.bytes - file.length;
      t.diagnostic(`${Math.round(again / MB)} MB were sent again after ${cuts.length} cuts`);
      await assertServed(backing.server, "large", file);
      await assertNothingPending(backing);
    });

    test("four parallel uploads of one file become one object, some of them reset", async (t) => {
      const backing = await open(t);
      const file = await randomFile(t, 40 * MB);
      const cuts = cutsBelow(t, { count: 4, length: file.length });
      const proxy = await startCuttingProxy(t, { upstream: () => backing.server, cuts });
      const { done } = startNodeUpload(createReadStream(file.path), {
        endpoint: `${proxy.url}/tus/demo`,
        key: "parallel",
        parallelUploads: 4,
      });
      await done;
      assert.equal(proxy.cutsDone, cuts.length, "every cut came");
      await assertServed(backing.server, "parallel", file);
      await assertNothingPending(backing);
    });

    test("a stream whose length is told at its end comes whole, though reset", async (t) => {
      const backing = await open(t);
      const file = await randomFile(t, 25 * MB + 1);
      const cuts = cutsBelow(t, { count: 3, length: file.length });
      const proxy = await startCuttingProxy(t, { upstream: () => backing.server, cuts });
      // A file's stream would tell its length.
      const { done } = startNodeUpload(createReadStream(file.path).compose(pass), {
        endpoint: `${proxy.url}/tus/demo`,
        key: "stream",
        uploadLengthDeferred: true,
        chunkSize: 6 * MB,
      });
      await done;
      assert.equal(proxy.cutsDone, cuts.length, "every cut came");
      await assertServed(backing.server, "stream", file);
      await assertNothingPending(backing);
    });

    test("a pause longer than a lease costs nothing", async (t) => {
      const backing = await open(t);
      const file = await randomFile(t, 40 * MB);
      const paused = Promise.withResolvers<void>();
      const client = startNodeUpload(createReadStream(file.path), {
        endpoint: `${backing.server.url}/tus/demo`,
        key: "paused",
        onProgress: atBytes(15 * MB, () => void client.upload.abort().then(paused.resolve)),
      });
      await paused.promise;
      await delay(pauseMs);
      client.upload.start();
      await client.done;
      assert.deepEqual(client.methods, ["POST", "PATCH", "HEAD", "PATCH"]);
      await assertServed(backing.server, "paused", file);
      await assertNothingPending(backing);
    });

    test("the same client goes on after the server was killed and came back", async (t) => {
      const backing = await open(t);
      const { server } = backing;
      const file = await randomFile(t, 40 * MB);
      const proxy = await startCuttingProxy(t, { upstream: () => server });
      const killed = Promise.withResolvers<void>();
      const client = startNodeUpload(createReadStream(file.path), {
        endpoint: `${proxy.url}/tus/demo`,
        key: "killed",
        onProgress: atBytes(20 * MB, () => void server.kill().then(killed.resolve)),
      });
      await killed.promise;
      await server.start();
      await client.done;
      const created = client.methods.filter((method) => method === "POST");
      assert.equal(created.length, 1, "it never began anew");
      await assertServed(server, "killed", file);
      await assertNothingPending(backing);
    });

    test("another client goes on at another process by the upload's address", async (t) => {
      const backing = await open(t);
      const { server } = backing;
      const file = await randomFile(t, 150 * MB);
      // So much that it is not all sent before the kill arrives, however busy this process is.
      const killed = Promise.withResolvers<void>();
      const first = startNodeUpload(createReadStream(file.path), {
        endpoint: `${server.url}/tus/demo`,
        key: "moved",
        retryDelays: null,
        onProgress: atBytes(20 * MB, () => void server.kill().then(killed.resolve)),
      });
      await assert.rejects(first.done);
      await killed.promise;
      await server.start();
      const path = new URL(first.upload.url ?? "").pathname;
      const second = startNodeUpload(createReadStream(file.path), {
        uploadUrl: `${server.url}${path}`,
        key: "moved",
      });
      await second.done;
      // Asked again while the dead process's lease lasts.
      assert.equal(second.methods.filter((method) => method === "PATCH").length, 1);
      assert.ok(!second.methods.includes("POST"), "it never began anew");
      await assertServed(server, "moved", file);
      await assertNothingPending(backing);
    });
  });
}

async function* pass(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield* chunks;
}
