/**
 * What SDKs really send, recorded on the wire (`captures/`: Parse JavaScript SDK 8.6.0 on Node 24, 2.2.1 on Node 10) and
 * sent here again, byte for byte, whole and in small pieces. `NAME` in the recorded delete stands for a file's name.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import {
  asRoot,
  key,
  type ParseTestServer,
  startParse,
} from "../../packages/server/src/protocols/parse/testing.ts";
import { cleanUp } from "../harness/cleanup.ts";

interface Answer {
  readonly status: number;
  readonly head: string;
  readonly body: string;
}

const captured = (name: string) => readFile(join(import.meta.dirname, "captures", `${name}.http`));

/** The bytes of the recorded files. */
const bytes = Buffer.from(Array.from({ length: 301 }, (_, index) => (index * 7) & 255));

async function replay(
  { url }: ParseTestServer,
  request: Buffer,
  pieceBytes = request.length,
): Promise<Answer> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname).setNoDelay();
  await once(socket, "connect");
  for (let at = 0; at < request.length; at += pieceBytes) {
    await new Promise((done) => socket.write(request.subarray(at, at + pieceBytes), done));
  }
  let answer = "";
  for await (const chunk of socket) {
    answer += chunk.toString("latin1");
    const end = answer.indexOf("\r\n\r\n");
    const length = /^content-length: (\d+)\r$/im.exec(answer)?.[1];
    if (end >= 0 && answer.length >= end + 4 + Number(length ?? 0)) break;
  }
  const [head = "", ...body] = answer.split("\r\n\r\n");
  return { status: Number(head.split(" ")[1]), head, body: body.join("\r\n\r\n") };
}

interface Capture {
  readonly name: string;
  readonly stored: RegExp;
  readonly type: string;
  readonly bytes: Buffer;
}

const binary = { type: "application/octet-stream", bytes };
const text = { type: "text/plain", bytes: Buffer.from("hello") };

const uploads: readonly Capture[] = [
  { name: "js-2.2.1-array", stored: /^[0-9a-f]{32}_a\.bin$/, ...binary },
  { name: "js-2.2.1-base64", stored: /^[0-9a-f]{32}_a\.txt$/, ...text },
  { name: "js-8.6.0-array", stored: /^[0-9a-f]{32}_a\.bin$/, ...binary },
  { name: "js-8.6.0-uint8array", stored: /^[0-9a-f]{32}_a\.bin$/, ...binary },
  { name: "js-8.6.0-base64", stored: /^[0-9a-f]{32}_a\.txt$/, ...text },
  { name: "js-8.6.0-described", stored: /^in\/here\/[0-9a-f]{32}_报告 1\.txt$/, ...text },
  { name: "js-8.6.0-buffer", stored: /^[0-9a-f]{32}_a\.bin$/, ...binary },
  { name: "js-8.6.0-stream", stored: /^[0-9a-f]{32}_a\.bin$/, ...binary },
];

for (const capture of uploads) {
  test(`${capture.name}: saved as the SDK expects it, however its bytes arrive`, async (t) => {
    const server = await startParse(t);
    const request = await captured(capture.name);
    for (const pieceBytes of [request.length, 97, 11]) {
      const { status, head, body } = await replay(server, request, pieceBytes);
      assert.equal(status, 201, body);
      const saved: unknown = JSON.parse(Buffer.from(body, "latin1").toString("utf8"));
      assert.ok(typeof saved === "object" && saved !== null && "name" in saved && "url" in saved);
      assert.deepEqual(Object.keys(saved).sort(), ["name", "url"]);
      assert.match(String(saved.name), capture.stored);
      assert.ok(head.includes(`location: ${String(saved.url)}`), head);
      // Of the host that was asked for when it was recorded.
      const read = await server.call("GET", new URL(String(saved.url)).pathname);
      assert.deepEqual(read.body, capture.bytes);
      assert.equal(read.headers["content-type"], capture.type);
      assert.equal(read.headers["content-length"], `${capture.bytes.length}`);
    }
  });
}

test("js-8.6.0-destroy: the file is gone", async (t) => {
  const server = await startParse(t);
  const put = await server.call("PUT", "/v1/buckets/parse", { headers: asRoot, body: "{}" });
  assert.equal(put.status, 201);
  await server.call("PUT", "/v1/objects/parse/some.txt", { headers: asRoot, body: "x" });
  const recorded = (await captured("js-8.6.0-destroy")).toString("latin1");
  const request = Buffer.from(recorded.replace("NAME", "some.txt"), "latin1");
  const deleted = await replay(server, request);
  assert.deepEqual([deleted.status, deleted.body], [200, ""]);
  assert.deepEqual(await server.keys(), []);
  const again = await replay(server, request);
  assert.deepEqual([again.status, JSON.parse(again.body).code], [400, 153]);
});

test("js-8.6.0-session: saved for the user whose session a parse-server knows", async (t) => {
  const known = new Set(["r:some-session"]);
  const serverURL = await startSessions(t, known);
  const application = {
    ...{ appId: key.id, masterKey: "master", javascriptKey: "javascript-key", accessKeyId: key.id },
    serverURL,
  };
  const server = await startParse(t, {
    parse: { applications: [application], sessionCache: "0 ms" },
  });
  const request = await captured("js-8.6.0-session");
  assert.equal((await replay(server, request, 97)).status, 201);
  known.clear();
  const refused = await replay(server, request);
  assert.deepEqual([refused.status, JSON.parse(refused.body).code], [400, 209]);
  assert.equal((await server.keys()).length, 1);
});

async function startSessions(t: TestContext, known: ReadonlySet<string>): Promise<string> {
  const stub = createServer(({ headers }, response) => {
    const isKnown = known.has(String(headers["x-parse-session-token"]));
    const body = isKnown ? { objectId: "u1" } : { code: 209, error: "Invalid session token" };
    response.writeHead(isKnown ? 200 : 400).end(JSON.stringify(body));
  });
  stub.listen(0, "127.0.0.1");
  await once(stub, "listening");
  cleanUp(t, async () => {
    stub.closeAllConnections();
    stub.close();
  });
  return `http://127.0.0.1:${(stub.address() as AddressInfo).port}/parse`;
}
