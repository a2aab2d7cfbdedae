// Given chunks on their way to a storage that takes its time: freed once they are away, never before.

import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { KiB, MiB } from "@roma/contract";
import { Secret } from "../../config/index.ts";
import { giveChunk } from "../../core/ports/given-chunks.ts";
import { bytesOf, calm } from "../conformance/subject.ts";
import { s3Config } from "./config.ts";
import { openS3Storage } from "./driver.ts";

const chunkBytes = 64 * KiB;
const chunkCount = 512;

test("a streamed put frees each chunk that was given once it is sent, and none while it waits", async (t) => {
  const storage = await pausing(t);
  const settings = s3Config.parse({
    ...{ vendor: "ceph-rgw", bucket: "bucket", endpoint: storage.endpoint },
    ...{ accessKeyId: "key", secretAccessKey: "secret" },
  });
  const secretAccessKey = new Secret("secret");
  const driver = openS3Storage({ id: "s3", ...settings, secretAccessKey });
  t.after(() => driver[Symbol.asyncDispose]());
  const pattern = bytesOf(chunkBytes);
  const md5 = createHash("md5");
  const given: Uint8Array[] = [];
  async function* body() {
    for (let index = 0; index < chunkCount; index += 1) {
      const chunk = Uint8Array.from(pattern);
      chunk[0] = index;
      md5.update(chunk);
      given.push(chunk);
      giveChunk(chunk);
      yield chunk;
    }
  }
  const putting = driver.put("blob", body(), { signal: calm, length: chunkBytes * chunkCount });
  await Promise.race([storage.asked, putting]);
  let pulled = -1;
  for (let still = 0; still < 10; still += 1) {
    if (pulled !== given.length) still = 0;
    pulled = given.length;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.ok(pulled < chunkCount, "the storage holds the body back");
  const waiting = given.filter((chunk) => chunk.length > 0);
  assert.ok(waiting.length > 0, "what the kernel did not take yet is there");
  assert.ok(waiting.length * chunkBytes < 2 * MiB, `${waiting.length} chunks wait`);
  storage.goOn();
  const head = await putting;
  assert.equal(head.etag, md5.digest("hex"));
  assert.equal(await storage.received, head.etag, "the bytes that came are those that were given");
  assert.deepEqual(
    given.filter((chunk) => chunk.length > 0),
    [],
    "every chunk is freed",
  );
});

/** A storage that takes nothing of a body until it is told to. */
async function pausing(t: TestContext) {
  const asked = Promise.withResolvers<void>();
  const going = Promise.withResolvers<void>();
  const received = Promise.withResolvers<string>();
  let length = 0;
  const take = async (request: IncomingMessage): Promise<string> => {
    asked.resolve();
    await going.promise;
    const md5 = createHash("md5");
    for await (const chunk of request) {
      length += chunk.length;
      md5.update(chunk);
    }
    received.resolve(md5.digest("hex"));
    return received.promise;
  };
  const server = createServer(async (request, response) => {
    const etag = request.method === "PUT" ? await take(request) : await received.promise;
    response.setHeader("etag", `"${etag}"`);
    if (request.method === "HEAD") {
      response.setHeader("content-length", length);
      response.setHeader("last-modified", new Date().toUTCString());
    }
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { endpoint, asked: asked.promise, received: received.promise, goOn: going.resolve };
}
