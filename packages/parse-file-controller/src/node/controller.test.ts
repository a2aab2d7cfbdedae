import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import { test } from "node:test";
import type { FileOptions, FileSource } from "../sdk.ts";
import { createFileController } from "./controller.ts";
import { answerSaved, readBody, startServer } from "./testing.ts";

const base64Of = (bytes: Uint8Array): FileSource => ({
  format: "base64",
  base64: Buffer.from(bytes).toString("base64"),
  type: "text/plain",
});

/** Rejects with that code. */
const refused = (code: number, message?: RegExp) => (error: Error & { code?: number }) => {
  assert.equal(error.code, code, error.message);
  if (message !== undefined) assert.match(error.message, message);
  return true;
};

test("every kind of source is sent as its bytes, with its length where there is one", async (t) => {
  const seen: { length: string | undefined; body: Buffer }[] = [];
  const { parse } = await startServer(t, async (request, response) => {
    seen.push({ length: request.headers["content-length"], body: await readBody(request) });
    answerSaved(response);
  });
  const controller = createFileController(parse);
  const whole = randomBytes(200_003);
  const lengths = [0, 1, 2, 3, 65_534, 65_535, 65_536, 131_070, 131_071, whole.length];
  for (const length of lengths) {
    const bytes = whole.subarray(0, length);
    const sources: FileSource[] = [
      { format: "buffer", buffer: bytes },
      base64Of(bytes),
      { format: "base64", base64: bytes.toString("base64").replace(/=+$/, "") },
      { format: "base64", base64: bytes.toString("base64url") },
      { format: "base64", base64: bytes.toString("base64").replace(/(.{60})/g, "$1\r\n") },
      { format: "file", file: new Blob([bytes]) },
      { format: "stream", stream: Readable.from(length === 0 ? [] : [bytes]) },
      { format: "stream", stream: new Blob([bytes]).stream() },
    ];
    for (const source of sources) {
      await controller.saveBinary("a.bin", source);
      const { length: told, body } = seen.pop() ?? assert.fail();
      assert.ok(body.equals(bytes), `${source.format} of ${length} bytes`);
      assert.equal(told, source.format === "stream" ? undefined : `${length}`);
    }
  }
});

test("who asks, and what is known of the file, goes in headers of ASCII", async (t) => {
  let seen: IncomingMessage | undefined;
  const { parse } = await startServer(t, async (request, response) => {
    seen = request;
    await readBody(request);
    answerSaved(response);
  });
  const controller = createFileController(parse);
  const metadata = { title: "Übung 报告 👍", "X-Y": "a\r\nb", nested: { n: 1 } };
  const options: FileOptions = { metadata, tags: { ключ: "1" }, directory: "in/здесь" };
  await controller.saveBase64("报告 1.txt", base64Of(Buffer.from("x")), options);
  const { headers = {}, url } = seen ?? {};
  assert.equal(url, `/parse/files/${encodeURIComponent("报告 1.txt")}`);
  assert.equal(headers["x-parse-application-id"], "shop");
  assert.equal(headers["x-parse-javascript-key"], "js");
  assert.equal(headers["x-parse-session-token"], "r:session");
  assert.equal(headers["x-parse-master-key"], undefined);
  assert.equal(headers["x-parse-upload-mode"], "stream");
  assert.equal(headers["content-type"], "text/plain");
  assert.deepEqual(JSON.parse(String(headers["x-parse-file-metadata"])), metadata);
  assert.deepEqual(JSON.parse(String(headers["x-parse-file-tags"])), { ключ: "1" });
  assert.equal(decodeURIComponent(String(headers["x-parse-file-directory"])), "in/здесь");

  await controller.deleteFile("in/a b.txt", { useMasterKey: true });
  assert.equal(seen?.url, "/parse/files/in/a%20b.txt");
  assert.equal(seen?.headers["x-parse-master-key"], "master");
  assert.equal(seen?.headers["x-parse-javascript-key"], undefined);
});

test("what can be sent again is, under the same id, when the server fails or the answer is lost", async (t) => {
  const ids = new Set<unknown>();
  let requests = 0;
  const { parse } = await startServer(t, async (request, response) => {
    requests += 1;
    ids.add(request.headers["x-parse-request-id"]);
    assert.equal((await readBody(request)).length, 100_000);
    if (requests === 1) response.destroy();
    else if (requests === 2) response.writeHead(503).end("busy");
    else answerSaved(response);
  });
  const bytes = Buffer.alloc(100_000, "x");
  const saved = await createFileController(parse).saveBase64("a.bin", base64Of(bytes));
  assert.deepEqual(saved, { name: "stored", url: "http://files.example.com/stored" });
  assert.equal(requests, 3);
  assert.equal(ids.size, 1);
});

test("a stream is sent once: its failure, and that of the connection, are told", async (t) => {
  let requests = 0;
  const { parse } = await startServer(t, async (request, response) => {
    requests += 1;
    await once(request, "data");
    response.destroy();
  });
  const controller = createFileController(parse);
  const endless = new Readable({
    read() {
      this.push(Buffer.alloc(100_000));
    },
  });
  await assert.rejects(
    controller.saveBinary("a.bin", { format: "stream", stream: endless }),
    refused(100),
  );
  assert.equal(requests, 1);
  assert.ok(endless.destroyed);

  const broken = new Readable({
    read() {
      this.destroy(new Error("the disk is gone"));
    },
  });
  await assert.rejects(
    controller.saveBinary("a.bin", { format: "stream", stream: broken }),
    refused(100, /the disk is gone/),
  );
  assert.equal(requests, 1);
});

for (const [status, body, code, message] of [
  [400, '{"code":130,"error":"Too long."}', 130, /^Too long\.$/],
  [400, '{"code":209,"error":"Invalid session token"}', 209, /Invalid/],
  [403, '{"error":"unauthorized"}', 119, /^unauthorized$/],
  [413, "<html>Request Entity Too Large</html>", 129, /status 413/],
  [404, "<html>nginx</html>", 130, /status 404/],
  [302, "", 130, /status 302/],
  [201, "<html>welcome</html>", 130, /did not say/],
] as const) {
  test(`${status} ${body.slice(0, 30)} is an error of code ${code}`, async (t) => {
    const { parse } = await startServer(t, async (request, response) => {
      await readBody(request);
      response.writeHead(status, { location: "/elsewhere" }).end(body);
    });
    const source = { format: "buffer", buffer: Buffer.from("x") };
    const saving = createFileController(parse).saveBinary("a.bin", source);
    await assert.rejects(saving, refused(code, message));
  });
}

test("a refusal that comes before the body was sent is told, and ends the source", async (t) => {
  const { parse } = await startServer(t, (_request, response) => {
    response.writeHead(400).end('{"code":130,"error":"File upload by public is disabled."}');
  });
  const stream = new Readable({ read() {} });
  stream.push(Buffer.alloc(10));
  const saving = createFileController(parse).saveBinary("a.bin", { format: "stream", stream });
  await assert.rejects(saving, refused(130, /by public/));
  assert.ok(stream.destroyed);
});

test("cancelling ends the request and its source", async (t) => {
  const aborted = Promise.withResolvers<void>();
  const started = Promise.withResolvers<void>();
  const { parse } = await startServer(t, (request) => {
    request.on("error", () => aborted.resolve());
    request.once("data", () => started.resolve());
  });
  const stream = new Readable({ read() {} });
  stream.push(Buffer.alloc(10));
  let task: { abort(): void } | undefined;
  const saving = createFileController(parse).saveBinary(
    "a.bin",
    { format: "stream", stream },
    {
      requestTask: (given) => {
        task = given;
      },
    },
  );
  await started.promise;
  task?.abort();
  await assert.rejects(saving, refused(100, /cancelled/));
  await aborted.promise;
  assert.ok(stream.destroyed);
});

test("progress is of bytes that have left, and its end comes after the answer", async (t) => {
  let isAnswered = false;
  const { parse } = await startServer(t, async (request, response) => {
    await readBody(request);
    isAnswered = true;
    answerSaved(response);
  });
  const told: unknown[] = [];
  const progress: FileOptions["progress"] = (part, loaded, total) => {
    if (part === 1) assert.ok(isAnswered);
    told.push([part, loaded, total]);
  };
  const buffer = Buffer.alloc(150_000);
  await createFileController(parse).saveBinary("a", { format: "buffer", buffer }, { progress });
  assert.deepEqual(told, [
    [65_535 / 150_000, 65_535, 150_000],
    [131_070 / 150_000, 131_070, 150_000],
    [1, 150_000, 150_000],
  ]);
});

test("a download follows redirects, and what is no file or breaks off is an error", async (t) => {
  const { parse, url } = await startServer(t, (request, response) => {
    if (request.url === "/moved") response.writeHead(302, { location: "/file" }).end();
    else if (request.url === "/file") response.writeHead(200, { "content-length": 5 }).end("bytes");
    else if (request.url === "/cut") {
      response.writeHead(200, { "content-length": 50 });
      response.write("some", () => response.destroy());
    } else response.writeHead(404).end("File not found.");
  });
  const controller = createFileController(parse);
  const { base64 } = await controller.download(`${url}/moved`);
  assert.equal(Buffer.from(base64 ?? "", "base64").toString(), "bytes");
  await assert.rejects(controller.download(`${url}/none`), refused(601, /404/));
  await assert.rejects(controller.download(`${url}/cut`), refused(100));
});

test("what cannot be sent, and an address that is none, are TypeErrors", async (t) => {
  const { parse } = await startServer(t, () => assert.fail("nothing is sent"));
  const controller = createFileController(parse);
  await assert.rejects(controller.saveFile("a", { format: "uri" }), TypeError);
  const filesURL = "files.example.com";
  assert.throws(() => createFileController(parse, { filesURL }), /filesURL must be an http/);
});
