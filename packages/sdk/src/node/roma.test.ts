/** The client over real sockets, against a small server in memory that can be made to misbehave. */
import assert from "node:assert/strict";
import { appendFileSync, truncateSync, writeFileSync } from "node:fs";
import { mkdtemp, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { type TestContext, test } from "node:test";
import { pathToFileURL } from "node:url";
import { Administration } from "../administration.ts";
import { isRomaError, type RomaErrorCode } from "../errors.ts";
import type { UploadOptions, UploadResult } from "../upload/job.ts";
import { type NodeRomaOptions, Roma } from "./roma.ts";
import type { NodeSource } from "./sources.ts";
import { answerProblem, type MemoryServer, startMemoryServer } from "./testing.ts";

const quick = { attemptsMax: 3, delayMsMin: 1, delayMsMax: 5 };

async function start(
  t: TestContext,
  options: Partial<NodeRomaOptions> = {},
): Promise<{
  readonly server: MemoryServer;
  readonly client: Roma;
  readonly administration: Administration;
  /** Into the bucket `test`. */
  readonly put: (
    key: string,
    source: NodeSource,
    options?: Partial<UploadOptions>,
  ) => Promise<UploadResult>;
}> {
  const server = await startMemoryServer();
  const client = new Roma({
    endpoint: server.url,
    token: server.credential,
    retry: quick,
    ...options,
  });
  t.after(async () => {
    client.close();
    await server.close();
  });
  const administration = new Administration(client);
  const put = (key: string, source: NodeSource, more: Partial<UploadOptions> = {}) =>
    client.upload(source, { bucket: "test", key, ...more }).done();
  return { server, client, administration, put };
}

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "roma-sdk-"));
  t.after(() => rm(path, { recursive: true }));
  return path;
}

async function read(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function code(expected: RomaErrorCode) {
  return (error: unknown) => {
    assert.ok(isRomaError(error), String(error));
    assert.equal(error.code, expected, error.message);
    return true;
  };
}

const sampleBytes = Buffer.from(
  Uint8Array.from({ length: 3_000_000 }, (_, index) => (index * 31) & 255),
);

test("bytes, a file, a stream with and without length all arrive as they were", async (t) => {
  const { client, put } = await start(t);
  const path = join(await folder(t), "sample.bin");
  await writeFile(path, sampleBytes);
  const sources = {
    bytes: () => put("bytes", sampleBytes),
    file: () => put("file", pathToFileURL(path)),
    path: () => put("path", path),
    Blob: () => put("Blob", new Blob([sampleBytes])),
    "web stream": () => put("web stream", new Blob([sampleBytes]).stream()),
    stream: () => put("stream", Readable.from([sampleBytes, Buffer.from("x")])),
    "stream of known length": () =>
      put("stream of known length", Readable.from([sampleBytes]), {
        length: sampleBytes.length,
      }),
    empty: () => put("empty", new Uint8Array()),
  };
  for (const [key, put] of Object.entries(sources)) {
    const object = await put();
    assert.equal(object.created, true);
    const expected =
      key === "empty"
        ? Buffer.alloc(0)
        : key === "stream"
          ? Buffer.concat([sampleBytes, Buffer.from("x")])
          : sampleBytes;
    const download = await client.download({ bucket: "test", key: key });
    assert.equal(download.verified, true);
    assert.ok((await read(download.body)).equals(expected), key);
    assert.equal(object.size, expected.length);
  }
});

test("keys, types and metadata of any Unicode come back as they went", async (t) => {
  const { client, put } = await start(t);
  const key = "a b/ü/文件%2F?&#+/e\u0301.txt";
  const metadata = { plain: "as is, = 50%", other: "Grüße 文件 🙂", spaces: " x " };
  await put(key, Buffer.from("x"), { contentType: "text/plain", metadata });
  const head = await client.stat({ bucket: "test", key: key });
  assert.deepEqual(head.metadata, metadata);
  assert.equal(head.contentType, "text/plain");
  assert.equal(head.size, 1);
  for await (const page of client.list("test").pages()) assert.equal(page.objects[0]?.key, key);
  await client.delete({ bucket: "test", key: key });
  await assert.rejects(client.stat({ bucket: "test", key: key }), code("object_not_found"));
});

test("a list of many pages gives each key once and in order", async (t) => {
  const { client, put } = await start(t);
  for (let index = 0; index < 25; index++) {
    await put(`k/${String(index).padStart(2, "0")}`, Buffer.from("x"));
  }
  const keys: string[] = [];
  for await (const page of client.list("test", { prefix: "k/", limit: 4 }).pages()) {
    keys.push(...page.objects.map((object) => object.key));
  }
  assert.equal(keys.length, 25);
  assert.deepEqual(keys, [...keys].sort());
});

test("a server that stored other bytes is reported, and nothing is deleted", async (t) => {
  const { server, put } = await start(t);
  server.intercept = (request, response) => {
    if (request.method !== "PUT") return false;
    request.resume().on("end", () => {
      const checksums = { crc64nvme: "0000000000000001" };
      const object = { bucket: "test", key: "a", version: "1", size: 3, etag: '"1"', storage: "s" };
      const rest = {
        contentType: "a/b",
        createdAt: "2026-01-01T00:00:00Z",
        metadata: {},
        url: "/",
      };
      response.writeHead(201).end(JSON.stringify({ ...object, ...rest, checksums }));
    });
    return true;
  };
  await assert.rejects(put("a", Readable.from([Buffer.from("abc")])), code("checksum_mismatch"));
  assert.ok(!server.requests.some((request) => request.startsWith("DELETE")));
});

test("damage on the way down ends the body with checksum_mismatch", async (t) => {
  const { server, client, put } = await start(t, { retry: { ...quick, attemptsMax: 1 } });
  await put("a", Buffer.from("abc"));
  const stored = server.objects.get("test/a");
  assert.ok(stored);
  server.objects.set("test/a", { ...stored, bytes: Buffer.from("abd") });
  const { body } = await client.download({ bucket: "test", key: "a" });
  await assert.rejects(read(body), code("checksum_mismatch"));
});

test("a download whose connection breaks twice resumes where it broke and is whole", async (t) => {
  const { server, client, put } = await start(t);
  await put("a", sampleBytes);
  let breaks = 0;
  server.intercept = (request, response) => {
    if (request.method !== "GET" || breaks === 2) return false;
    breaks += 1;
    const first = Number(request.headers.range?.match(/bytes=(\d+)/)?.[1] ?? 0);
    const stored = server.objects.get("test/a");
    response.writeHead(first === 0 ? 200 : 206, {
      "content-length": sampleBytes.length - first,
      "content-range": `bytes ${first}-${sampleBytes.length - 1}/${sampleBytes.length}`,
      etag: stored?.json.etag ?? "",
    });
    response.write(sampleBytes.subarray(first, first + 500_000), () => {
      setTimeout(() => response.destroy(), 20);
    });
    return true;
  };
  const { body } = await client.download({ bucket: "test", key: "a" });
  assert.ok((await read(body)).equals(sampleBytes));
  assert.equal(breaks, 2);
});

test("an object replaced during a broken download is refused, not mixed", async (t) => {
  const { server, client, put } = await start(t);
  await put("a", sampleBytes);
  const etag = server.objects.get("test/a")?.json.etag ?? "";
  let first = true;
  server.intercept = (request, response) => {
    if (request.method !== "GET" || !first) return false;
    first = false;
    response.writeHead(200, { "content-length": sampleBytes.length, etag });
    response.write(sampleBytes.subarray(0, 1000), () => setTimeout(() => response.destroy(), 20));
    return true;
  };
  const { body } = await client.download({ bucket: "test", key: "a" });
  await put("a", Buffer.alloc(sampleBytes.length));
  await assert.rejects(read(body), code("precondition_failed"));
});

for (const how of ["lingers", "closes at once", "refuses before 100-continue"] as const) {
  test(`a 413 while the body is still being sent is read and reported (${how})`, async (t) => {
    const { server, put } = await start(t);
    server.intercept = (request, response) => {
      if (how !== "refuses before 100-continue") {
        response.writeContinue();
        request.once("data", () => {
          answerProblem(response, 413, "too_large", "more than 1 MiB");
          if (how === "closes at once") response.once("finish", () => request.socket.end());
        });
      } else {
        answerProblem(response, 413, "too_large", "more than 1 MiB");
      }
      return true;
    };
    await assert.rejects(put("a", Buffer.alloc(8 * 1024 * 1024)), (error: unknown) => {
      assert.ok(isRomaError(error, "too_large"), String(error));
      assert.equal(error.status, 413);
      assert.equal(error.requestId, "request-1");
      assert.match(error.message, /more than 1 MiB/);
      return true;
    });
  });
}

test("503 is retried for a file, and for a stream, of which a piece is held", async (t) => {
  const { server, put } = await start(t);
  const path = join(await folder(t), "a");
  await writeFile(path, "content");
  let refusals = 0;
  server.intercept = (request, response) => {
    if (refusals === 0 || request.method !== "PUT") return false;
    refusals -= 1;
    response.writeContinue();
    request.resume().on("end", () => answerProblem(response, 503, "overloaded", "busy"));
    return true;
  };
  refusals = 2;
  const object = await put("file", path);
  assert.equal(object.size, 7);
  assert.equal(refusals, 0);
  refusals = 1;
  const stream = Readable.from([Buffer.from("content")]);
  assert.equal((await put("stream", stream)).size, 7);
});

test("Retry-After is waited for, unless it is longer than the limit", async (t) => {
  const { server, administration } = await start(t, {
    retry: { ...quick, retryAfterMsMax: 1_500 },
  });
  let seconds = 1;
  let refusals = 1;
  server.intercept = (_request, response) => {
    if (refusals === 0) return false;
    refusals -= 1;
    response.setHeader("retry-after", String(seconds));
    answerProblem(response, 503, "overloaded", "busy");
    return true;
  };
  const startedAt = performance.now();
  await administration.buckets.list();
  assert.ok(performance.now() - startedAt >= 990);
  seconds = 3600;
  refusals = 1;
  await assert.rejects(administration.buckets.list(), (error: unknown) => {
    assert.ok(isRomaError(error, "overloaded"));
    assert.equal(error.retryAfterMs, 3_600_000);
    return true;
  });
});

test("making a key is not repeated when its answer is lost, deleting an object is", async (t) => {
  const { server, client, administration, put } = await start(t);
  await put("a", Buffer.from("x"));
  server.requests.length = 0;
  server.intercept = (request) => {
    if (request.method === "POST") {
      request.socket.destroy();
      return true;
    }
    if (request.method === "DELETE" && server.objects.delete("test/a")) {
      request.socket.destroy();
      return true;
    }
    return false;
  };
  await assert.rejects(administration.keys.create({ name: "k", policy: [] }), (error: unknown) => {
    assert.ok(isRomaError(error, "connection_failed"));
    assert.equal(error.mayHaveHappened, true);
    return true;
  });
  await client.delete({ bucket: "test", key: "a" });
  assert.deepEqual(server.requests, [
    "POST /v1/keys",
    "DELETE /v1/objects/test/a",
    "DELETE /v1/objects/test/a",
  ]);
});

test("no server: connection_failed, and the message names the address", async (t) => {
  const { server, administration } = await start(t);
  await server.close();
  await assert.rejects(administration.buckets.list(), (error: unknown) => {
    assert.ok(isRomaError(error, "connection_failed"));
    assert.match(error.message, /ECONNREFUSED 127\.0\.0\.1/);
    return true;
  });
});

test("a server that never answers ends in timeout, one that stalls in the body too", async (t) => {
  const retry = { attemptsMax: 1 };
  const silent = await start(t, { limits: { answerMsMax: 150 }, retry });
  silent.server.intercept = () => true;
  await assert.rejects(silent.administration.buckets.list(), code("timeout"));
  const stalling = await start(t, { limits: { idleMsMax: 150 }, retry });
  stalling.server.intercept = (_request, response) => {
    response.writeHead(200, { "content-length": 10 }).write("abc");
    return true;
  };
  const { body } = await stalling.client.download({ bucket: "test", key: "a" });
  await assert.rejects(read(body), code("timeout"));
});

test("a reader that pauses longer than the idle limit still gets everything", async (t) => {
  const idleMsMax = 60_000;
  const retry = { attemptsMax: 1 };
  const { server, client, put } = await start(t, { limits: { idleMsMax }, retry });
  await put("a", sampleBytes);
  // Only the pause takes time: the machine may be the slow one while bytes are waited for.
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { body } = await client.download({ bucket: "test", key: "a" });
  let bytes = 0;
  for await (const chunk of body) {
    if (bytes === 0) t.mock.timers.tick(3 * idleMsMax);
    bytes += chunk.length;
  }
  assert.equal(bytes, sampleBytes.length);
  // In one request: the pause was not taken for a stall and resumed after.
  assert.deepEqual(
    server.requests.filter((request) => request.startsWith("GET")),
    ["GET /v1/objects/test/a"],
  );
});

test("a signal ends an upload and a download at once, and their connections", async (t) => {
  const { server, client, administration, put } = await start(t);
  await put("big", sampleBytes);
  const upload = new AbortController();
  const { promise: ended, resolve: closed } = Promise.withResolvers<void>();
  server.requests.length = 0;
  server.intercept = (request) => {
    request.once("data", () => upload.abort());
    request.once("close", closed);
    return true;
  };
  await assert.rejects(put("a", sampleBytes, { signal: upload.signal }), code("aborted"));
  await ended;
  server.intercept = () => false;
  const download = new AbortController();
  const { body } = await client.download(
    { bucket: "test", key: "big" },
    { signal: download.signal },
  );
  await assert.rejects(async () => {
    for await (const _ of body) download.abort();
  }, code("aborted"));
  await assert.rejects(administration.buckets.list({ signal: download.signal }), code("aborted"));
  assert.equal(server.objects.has("test/a"), false);
});

test("refusals and unread bodies leave no connection behind", async (t) => {
  const { server, client, put } = await start(t);
  await put("big", sampleBytes);
  for (let index = 0; index < 50; index++) {
    await assert.rejects(
      client.download({ bucket: "test", key: "missing" }),
      code("object_not_found"),
    );
    (await client.download({ bucket: "test", key: "big" })).cancel();
    for await (const _ of (await client.download({ bucket: "test", key: "big" })).body) break;
  }
  // The cut ones close a moment after the client let go of them.
  for (const until = performance.now() + 60_000; performance.now() < until; ) {
    if ((await server.connectionCount()) <= 2) break;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.ok((await server.connectionCount()) <= 2, String(await server.connectionCount()));
});

test("a file that shrinks or has another length than announced stores nothing", async (t) => {
  const { server, put } = await start(t);
  const path = join(await folder(t), "a");
  await writeFile(path, sampleBytes);
  const shrink = () => truncateSync(path, 1_000_000);
  server.intercept = () => {
    shrink();
    return false;
  };
  await assert.rejects(put("a", path), code("source_failed"));
  const short = Readable.from([Buffer.from("abc")]);
  await assert.rejects(put("a", short, { length: 5 }), code("source_failed"));
  await assert.rejects(put("a", join(path, "missing")), code("source_failed"));
  assert.equal(server.objects.has("test/a"), false);
});

test("a file that grows, or is rewritten in place, while it is read stores nothing", async (t) => {
  const { server, put } = await start(t);
  const path = join(await folder(t), "a");
  const changes = {
    grows: () => appendFileSync(path, "more"),
    rewritten: () => writeFileSync(path, Buffer.alloc(sampleBytes.length)),
  };
  for (const [name, change] of Object.entries(changes)) {
    await writeFile(path, sampleBytes);
    // Two changes within a tick of the file system's clock have the same time.
    await utimes(path, 1, 1);
    let changed = false;
    const onProgress = () => {
      if (!changed) change();
      changed = true;
    };
    await assert.rejects(put(name, path, { onProgress }), code("source_failed"), name);
    assert.equal(server.objects.has(`test/${name}`), false);
  }
});

test("a page of a proxy is bad_answer or its status' meaning, never a syntax error", async (t) => {
  const { server, administration } = await start(t, { retry: { attemptsMax: 1 } });
  let status = 200;
  server.intercept = (_request, response) => {
    response.writeHead(status, { "content-type": "text/html" }).end("<html>");
    return true;
  };
  await assert.rejects(administration.buckets.list(), code("bad_answer"));
  status = 502;
  await assert.rejects(administration.buckets.list(), code("unavailable"));
  status = 403;
  await assert.rejects(administration.buckets.list(), code("access_denied"));
});

test("the token function is asked once, again when refused, and by all calls together", async (t) => {
  const tokens = ["old.secret", "root:secret", "new.secret"];
  let asked = 0;
  const token = async () => tokens[asked++] ?? "";
  const { server, administration } = await start(t, { token });
  const lists = Array.from({ length: 5 }, () => administration.buckets.list());
  assert.deepEqual(
    (await Promise.all(lists)).map(({ length }) => length),
    [1, 1, 1, 1, 1],
  );
  assert.equal(asked, 2);
  server.tokens.clear();
  server.tokens.add("new.secret");
  await administration.buckets.list();
  assert.equal(asked, 3);
  server.tokens.clear();
  await assert.rejects(administration.buckets.list(), code("token_failed"));
});

test("an access key is a credential, and one of both is enough", async (t) => {
  const { server } = await start(t);
  const options = { endpoint: server.url, credential: { id: "root", secret: "secret" } };
  await using roma = new Roma(options);
  assert.equal((await new Administration(roma).buckets.list()).length, 1);
  assert.throws(() => new Roma({ ...options, token: "a.b" }), TypeError);
  assert.throws(() => new Roma({ endpoint: "ftp://x" }), TypeError);
});

test("signUrl: an absolute URL that works by itself", async (t) => {
  const { server, client, put } = await start(t);
  await put("a", Buffer.from("abc"));
  const url = await client.signUrl({ bucket: "test", key: "a" });
  assert.ok(url.startsWith(`${server.url}/v1/objects/test/a?grant=`), url);
  assert.equal(await (await fetch(url)).text(), "abc");
});

test("buckets, keys and grants: create, change, list, delete", async (t) => {
  const { administration } = await start(t);
  await administration.buckets.create("photos", { visibility: "public-read" });
  await assert.rejects(administration.buckets.create("photos"), code("already_exists"));
  assert.equal((await administration.buckets.get("photos")).visibility, "public-read");
  await administration.buckets.change("photos", { visibility: "private" });
  assert.equal((await administration.buckets.list()).length, 2);
  await administration.buckets.delete("photos");
  const policy = [{ buckets: ["*"], actions: ["object:read"] }] as const;
  const key = await administration.keys.create({ name: "reader", policy });
  assert.equal(key.secret, "s3cret");
  assert.equal((await administration.keys.change(key.id, { enabled: false })).enabled, false);
  assert.equal((await administration.keys.list()).length, 1);
  await administration.keys.delete(key.id);
  const grant = await administration.grants.create({
    bucket: "test",
    key: "a",
    actions: ["object:read"],
  });
  assert.match(grant.url ?? "", /grant=/);
});
