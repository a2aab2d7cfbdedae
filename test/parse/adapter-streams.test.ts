/** Uploads through parse-server and our adapter: what they cost, and what is left of those that do not end. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type ClientRequest, request as httpRequest, type IncomingMessage } from "node:http";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { send } from "../harness/http-client.ts";
import { eventually, readMetric, residentBytes, watchMemory } from "../harness/process-usage.ts";
import { type ServerProcess, startServer } from "../harness/server-process.ts";
import { describeWhere } from "../prerequisites.ts";
import { useService } from "../storages/service.ts";
import {
  adapterModule,
  adapterOptions,
  application,
  type ParseServerProcess,
  startParseServer,
} from "./environment.ts";

const MiB = 1024 * 1024;
const chunk = Buffer.alloc(64 * 1024, "some bytes of a file ");

describeWhere(["parse", "postgres"], "streams through parse-server into our adapter", () => {
  const postgres = useService("postgres");

  async function startBoth(t: TestContext, options: Readonly<Record<string, unknown>> = {}) {
    const roma = await startServer(t);
    assert.equal((await send(roma, "PUT", "/v1/buckets/files", { body: "{}" })).status, 201);
    const value = { module: adapterModule, options: adapterOptions(roma.url, "files") };
    const adapter = { way: "value", value } as const;
    return { roma, parse: await startParseServer(t, postgres, { adapter, options }) };
  }

  test("ten uploads of 30 MB at once raise the resident memory of the server by 40 MB at most", async (t) => {
    const { roma, parse } = await startBoth(t);
    for (let round = 0; round < 3; round += 1) {
      await Promise.all([upload(parse, "warm.bin", 4 * MiB), upload(parse, "warm.bin", 4 * MiB)]);
    }
    const idle = { roma: await residentBytes(roma.pid), parse: await residentBytes(parse.pid) };
    const watches = { roma: watchMemory(roma.pid), parse: watchMemory(parse.pid) };
    const count = 10;
    const saved = await Promise.all(
      Array.from({ length: count }, (_, index) => upload(parse, `${index}.bin`, 30_000_000)),
    );
    const rise = {
      roma: (await watches.roma.stop()).peakBytes - idle.roma,
      parse: (await watches.parse.stop()).peakBytes - idle.parse,
    };
    t.diagnostic(`rise: ${toMiB(rise.roma)} MiB, of parse-server ${toMiB(rise.parse)} MiB`);
    assert.deepEqual(new Set(saved.map(({ status }) => status)), new Set([201]));
    assert.ok(rise.roma <= 40e6, `${rise.roma} bytes more than the idle ${idle.roma}`);
    for (const { body } of saved) {
      const head = await fetch(JSON.parse(body).url, { method: "HEAD" });
      assert.equal(head.headers.get("content-length"), "30000000");
    }
  });

  test("of an upload that breaks off nothing is left", async (t) => {
    const { roma, parse } = await startBoth(t);
    // Small and gathered, and so large that a part of it has been stored.
    for (const bytes of [100_000, 20 * MiB]) {
      const request = begin(parse, "broken.bin");
      request.on("error", () => {});
      await write(request, bytes);
      await delay(200);
      request.destroy();
      await eventually(
        "no upload runs or waits",
        async () =>
          (await readMetric(roma.opsUrl, "uploads_running")) === 0 &&
          (await waitingUploads(roma)).length === 0,
      );
    }
    assert.deepEqual(await keysOf(roma), []);
    // It goes on to serve.
    assert.equal((await upload(parse, "whole.bin", 1000)).status, 201);
    assert.equal((await keysOf(roma)).length, 1);
  });

  test("a stream over parse-server's limit is refused as parse-server does, and leaves nothing", async (t) => {
    const { roma, parse } = await startBoth(t, { maxUploadSize: "10mb" });
    // Its last bytes are what is too much: parse-server closes the connection on whoever sends more.
    const { status, body } = await upload(parse, "large.bin", 10 * MiB + 1000);
    assert.equal(status, 400);
    assert.deepEqual(JSON.parse(body), {
      code: 130,
      error: "File size exceeds maximum allowed: 10485760 bytes.",
    });
    assert.deepEqual(await keysOf(roma), []);
  });

  test("a server that cannot be reached is told to who uploads and to who reads a range", async (t) => {
    const { roma, parse } = await startBoth(t);
    const saved = JSON.parse((await upload(parse, "there.bin", 1000)).body);
    await roma.stop();
    const refused = await upload(parse, "away.bin", 1000);
    assert.equal(refused.status, 400);
    assert.equal(JSON.parse(refused.body).code, 130);
    const through = `${parse.url}/files/${application.appId}/${saved.name}`;
    const range = await fetch(through, { headers: { range: "bytes=0-9" } });
    assert.equal(range.status, 503);
    await range.text();
  });

  test("downloads through parse-server: whole, ranges, conditions, and a slow reader", async (t) => {
    const { parse } = await startBoth(t);
    const { name } = JSON.parse((await upload(parse, "long.bin", 60 * MiB)).body);
    const through = `${parse.url}/files/${application.appId}/${name}`;
    const range = await fetch(through, { headers: { range: "bytes=5-9" } });
    assert.equal(range.status, 206);
    assert.equal(range.headers.get("content-range"), `bytes 5-9/${60 * MiB}`);
    assert.equal(await range.text(), chunk.subarray(5, 10).toString());
    const etag = range.headers.get("etag") ?? "";
    const whole = await fetch(through, { headers: { range: "bytes=5-9", "if-range": '"no"' } });
    assert.equal(whole.status, 200);
    assert.equal((await whole.arrayBuffer()).byteLength, 60 * MiB);
    const same = await fetch(through, { headers: { range: "bytes=-5", "if-range": etag } });
    assert.equal(same.status, 206);
    await same.text();
    const none = await fetch(through, { headers: { range: `bytes=${60 * MiB}-` } });
    assert.equal(none.status, 416);
    assert.equal(none.headers.get("content-range"), `bytes */${60 * MiB}`);

    const idle = await residentBytes(parse.pid);
    const [slow] = (await once(
      httpRequest(through, { headers: { range: "bytes=0-" } }).end(),
      "response",
    )) as [IncomingMessage];
    await once(slow, "readable");
    slow.read(1);
    await delay(1500);
    const rise = (await residentBytes(parse.pid)) - idle;
    t.diagnostic(`${toMiB(rise)} MiB for a reader that stands still`);
    assert.ok(rise < 24 * MiB, `${rise} bytes for a reader that stands still`);
    slow.destroy();
    assert.equal((await fetch(through, { headers: { range: "bytes=0-0" } })).status, 206);
  });
});

function begin(parse: ParseServerProcess, name: string): ClientRequest {
  return httpRequest(`${parse.url}/files/${name}`, {
    method: "POST",
    agent: false,
    headers: {
      "x-parse-application-id": application.appId,
      "x-parse-javascript-key": application.javascriptKey,
      "x-parse-upload-mode": "stream",
      "content-type": "application/octet-stream",
      "transfer-encoding": "chunked",
    },
  });
}

/** Whole chunks; answers how many of the bytes do not fill one, and were not written. */
async function write(request: ClientRequest, bytes: number): Promise<number> {
  let left = bytes;
  for (; left >= chunk.length; left -= chunk.length) {
    // Called for a request that has failed, too.
    await new Promise<void>((resolve) => request.write(chunk, () => resolve()));
  }
  return left;
}

async function upload(
  parse: ParseServerProcess,
  name: string,
  bytes: number,
): Promise<{ readonly status: number; readonly body: string }> {
  const request = begin(parse, name);
  const answered = once(request, "response") as Promise<[IncomingMessage]>;
  answered.catch(() => {});
  // Once it is answered, what becomes of the connection does not matter.
  request.on("error", () => {});
  const left = await write(request, bytes);
  request.end(chunk.subarray(0, left));
  const [response] = await answered;
  let body = "";
  for await (const text of response.setEncoding("utf8")) body += text;
  return { status: response.statusCode ?? 0, body };
}

async function keysOf(roma: ServerProcess): Promise<readonly string[]> {
  const { body } = await send(roma, "GET", "/v1/objects/files");
  const { objects }: { objects: readonly { readonly key: string }[] } = JSON.parse(`${body}`);
  return objects.map(({ key }) => key);
}

async function waitingUploads(roma: ServerProcess): Promise<readonly unknown[]> {
  const { status, body } = await send(roma, "GET", "/v1/uploads?bucket=files");
  assert.equal(status, 200, `${body}`);
  const { uploads }: { uploads: readonly unknown[] } = JSON.parse(`${body}`);
  return uploads;
}

function toMiB(bytes: number): number {
  return Math.round(bytes / MiB);
}
