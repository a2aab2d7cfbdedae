/**
 * Ten uploads of 30 MB at once raise the server's resident memory by at most 40 MB, whichever of Parse's three
 * shapes they have: the peak as the kernel counts it, over the idle server after a warm-up. parse-server itself
 * takes 180 to 1,600 MB more.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import { begin, send } from "../harness/http-client.ts";
import { eventually, readMetric, residentBytes, watchMemory } from "../harness/process-usage.ts";
import { rootKey, type ServerProcess, startServer } from "../harness/server-process.ts";

const MB = 1_000_000;
const riseMax = 40 * MB;
const uploadsAtOnce = 10;
const fileBytes = 30 * MB;
/** Divisible by three, so that base64 of the pieces is base64 of the whole. */
const pieceBytes = 300_000;

const [id = "", secret = ""] = rootKey.split(":");
const masterKey = { "x-parse-application-id": id, "x-parse-master-key": secret };
const piece = randomBytes(pieceBytes);
const pieceText = Buffer.from(piece.toString("base64"));
const jsonEnd = Buffer.from(
  `","fileData":{"metadata":{},"tags":{}},${JSON.stringify({
    _ContentType: "application/octet-stream",
    _ApplicationId: id,
    _ClientVersion: "js8.6.0",
    _MasterKey: secret,
  }).slice(1)}`,
);

interface Shape {
  readonly what: string;
  readonly headers: (bytes: number) => Readonly<Record<string, string>>;
  readonly chunks: (bytes: number) => Iterable<Buffer>;
}

function* repeated(chunk: Buffer, bytes: number): Iterable<Buffer> {
  for (let sent = 0; sent < bytes; sent += pieceBytes) yield chunk;
}

const shapes: readonly Shape[] = [
  {
    what: "JSON with base64 first and credentials last",
    headers: () => ({ "content-type": "text/plain" }),
    *chunks(bytes) {
      yield Buffer.from('{"base64":"');
      yield* repeated(pieceText, bytes);
      yield jsonEnd;
    },
  },
  {
    what: "a body of bytes",
    headers: (bytes) => ({ ...masterKey, "content-length": `${bytes}` }),
    chunks: (bytes) => repeated(piece, bytes),
  },
  {
    what: "a stream",
    headers: () => ({ ...masterKey, "x-parse-upload-mode": "stream" }),
    chunks: (bytes) => repeated(piece, bytes),
  },
];

async function upload(server: ServerProcess, shape: Shape, bytes: number): Promise<string> {
  const { request, answer } = begin(server, "POST", "/parse/files/large.bin", {
    headers: shape.headers(bytes),
    authorization: null,
  });
  answer.catch(() => {});
  for (const chunk of shape.chunks(bytes)) {
    if (!request.write(chunk)) await once(request, "drain");
  }
  request.end();
  const { status, body } = await answer;
  assert.equal(status, 201, body.toString());
  const { url }: { readonly url: string } = JSON.parse(body.toString());
  return new URL(url).pathname;
}

/** A little of everything, a few at a time: what any server has done that has run for a minute. */
async function startWarm(t: TestContext): Promise<ServerProcess> {
  const server = await startServer(t, { flags: ["--blob-grace", "0 ms"] });
  const work = async () => {
    for (let round = 0; round < 10; round++) {
      for (const shape of shapes) {
        const path = await upload(server, shape, round % 5 === 0 ? 4 * MB - 100_000 : pieceBytes);
        assert.equal((await send(server, "GET", path, { authorization: null })).status, 200);
      }
    }
  };
  await Promise.all([work(), work()]);
  await idle(server);
  return server;
}

async function idle(server: ServerProcess): Promise<void> {
  await eventually(
    "no upload runs",
    async () => (await readMetric(server.opsUrl, "uploads_running")) === 0,
  );
}

for (const shape of shapes) {
  test(`ten uploads of 30 MB at once, ${shape.what}: at most 40 MB of memory more`, async (t) => {
    const server = await startWarm(t);
    const idleBytes = await residentBytes(server.pid);
    const watch = watchMemory(server.pid);
    const paths = await Promise.all(
      Array.from({ length: uploadsAtOnce }, () => upload(server, shape, fileBytes)),
    );
    const { peakBytes, samples } = await watch.stop();
    const rise = peakBytes - idleBytes;
    const figures = `idle ${(idleBytes / MB).toFixed(0)} MB, peak +${(rise / MB).toFixed(1)} MB`;
    t.diagnostic(`${figures} in ${samples.length} samples`);
    for (const path of paths) {
      const { headers } = await send(server, "HEAD", path, { authorization: null });
      assert.equal(headers["content-length"], `${fileBytes}`);
    }
    assert.ok(rise <= riseMax, figures);
  });
}
