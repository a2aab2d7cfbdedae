/** Uploads in parts over real sockets: every way in which one can fail, be held up or go on. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, readlink, rm, writeFile } from "node:fs/promises";
import type http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { type TestContext, test } from "node:test";
import { isRomaError, type RomaErrorCode } from "../errors.ts";
import type { UploadState } from "../upload/control.ts";
import type { UploadNotice, UploadOptions } from "../upload/job.ts";
import type { UploadProgress } from "../upload/progress.ts";
import type { Upload } from "../upload/upload.ts";
import { type NodeRomaOptions, Roma } from "./roma.ts";
import type { NodeSource } from "./sources.ts";
import { answerProblem, type MemoryServer, startMemoryServer } from "./testing.ts";

const MiB = 1024 * 1024;
const bytes = randomBytes(20 * MiB + 12_345);
const partCount = 21;

interface Told {
  readonly notices: UploadNotice[];
  readonly states: UploadState[];
  readonly progress: UploadProgress[];
}

interface Scene {
  readonly server: MemoryServer;
  readonly roma: Roma;
  readonly told: Told;
  /** To `test/a`, unless said otherwise. */
  begin(source?: NodeSource, options?: Partial<UploadOptions>): Upload;
  /** What is stored is what was sent. */
  assertStored(key?: string, expected?: Buffer): void;
  /** PUTs of signed requests so far. */
  puts(): readonly string[];
}

async function scene(t: TestContext, options: Partial<NodeRomaOptions> = {}): Promise<Scene> {
  const server = await startMemoryServer();
  const roma = new Roma({
    endpoint: server.url,
    ...(options.token === undefined ? { token: server.credential } : {}),
    retry: { attemptsMax: 3, delayMsMin: 1, delayMsMax: 5 },
    ...options,
  });
  t.after(async () => {
    roma.close();
    await server.close();
  });
  const told: Told = { notices: [], states: [], progress: [] };
  return {
    server,
    roma,
    told,
    begin: (source = bytes, more = {}) =>
      roma.upload(source, {
        ...{ bucket: "test", key: "a" },
        onNotice: (notice) => told.notices.push(notice),
        onState: (state) => told.states.push(state),
        onProgress: (progress) => told.progress.push(progress),
        ...more,
      }),
    assertStored(key = "a", expected = bytes) {
      assert.ok(server.objects.get(`test/${key}`)?.bytes.equals(expected), `${key} is as it was`);
    },
    puts: () => server.requests.filter((request) => request.startsWith("PUT /signed/")),
  };
}

function code(expected: RomaErrorCode) {
  return (error: unknown) => {
    assert.ok(isRomaError(error), String(error));
    assert.equal(error.code, expected, error.message);
    return true;
  };
}

/** Deals with the first `count` signed PUTs that `which` names, and lets the others pass. */
function disturb(
  server: MemoryServer,
  count: number,
  act: (request: http.IncomingMessage, response: http.ServerResponse) => void,
  which: (url: string) => boolean = () => true,
): void {
  let left = count;
  server.intercept = (request, response) => {
    const { url = "" } = request;
    if (left === 0 || request.method !== "PUT" || !url.startsWith("/signed/") || !which(url)) {
      return false;
    }
    left -= 1;
    act(request, response);
    return true;
  };
}

/** Some things happen a moment after they were asked for. */
async function eventually(holds: () => boolean, what: string | (() => string)): Promise<void> {
  for (const until = performance.now() + 60_000; performance.now() < until && !holds(); ) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.ok(holds(), typeof what === "string" ? what : what());
}

/** What was on its way has arrived: the count stays the same for a tenth of a second. */
async function atRest(count: () => number): Promise<void> {
  let before = count();
  for (let still = 0; still < 5; ) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    still = count() === before ? still + 1 : 0;
    before = count();
  }
}

const ofStorage = (server: MemoryServer) => (request: http.IncomingMessage) =>
  request.socket.localPort === Number(new URL(server.storageUrl).port);

test("parts go side by side, straight to the storage; the result says what is stored", async (t) => {
  const { server, begin, told, assertStored, puts } = await scene(t);
  let running = 0;
  let most = 0;
  server.intercept = (request, response) => {
    if (!request.url?.startsWith("/signed/")) return false;
    running += 1;
    most = Math.max(most, running);
    response.on("close", () => {
      running -= 1;
    });
    return false;
  };
  const upload = begin(bytes, { metadata: { a: "b" }, contentType: "x/y" });
  const result = await upload.done();
  assertStored();
  assert.equal(result.size, bytes.length);
  assert.equal(result.created, true);
  assert.equal(result.contentType, "x/y");
  assert.deepEqual(result.metadata, { a: "b" });
  assert.equal(result.url, `${server.url}/v1/objects/test/a`);
  assert.equal(puts().length, partCount);
  assert.ok(most >= 2 && most <= 6, `${most} parts at once`);
  assert.deepEqual(told.states, ["starting", "uploading", "completing", "done"]);
  const shown = told.progress.map((progress) => progress.bytes);
  assert.deepEqual(
    shown,
    shown.toSorted((a, b) => a - b),
  );
  assert.equal(shown.at(-1), bytes.length);
  assert.equal(told.progress.at(-1)?.totalBytes, bytes.length);
  assert.deepEqual(told.notices, []);
  assert.equal((await begin().done()).created, false, "it replaces");
});

test("one request for all bytes where the server says so, and a key that the server makes", async (t) => {
  const { server, begin, assertStored, puts } = await scene(t);
  server.direct.settings.putBytesMax = 100 * MiB;
  await begin().done();
  assertStored();
  assert.equal(puts().length, 1);
  const { key } = await begin(Buffer.from("abc"), { key: undefined!, filename: "x.txt" }).done();
  assert.match(key, /^made\/.*-x\.txt$/);
  assertStored(key, Buffer.from("abc"));
});

test("streams of known length go in parts, of at most 64 MiB at once", async (t) => {
  const { begin, assertStored, puts } = await scene(t);
  const chunks = function* () {
    for (let at = 0; at < bytes.length; at += 100_001) yield bytes.subarray(at, at + 100_001);
  };
  await begin(Readable.from(chunks()), { length: bytes.length }).done();
  assertStored();
  assert.equal(puts().length, 3, "of 8 MiB");
  for (const length of [bytes.length - 1, bytes.length + 1]) {
    const upload = begin(Readable.from(chunks()), { key: "b", length });
    await assert.rejects(upload.done(), code("source_failed"));
  }
});

for (const [how, act] of Object.entries({
  "500 of a storage": (_: http.IncomingMessage, response: http.ServerResponse) => {
    response
      .writeHead(500, { connection: "close" })
      .end("<Error><Code>InternalError</Code></Error>");
  },
  "a reset in the middle": (request: http.IncomingMessage, response: http.ServerResponse) => {
    response.writeContinue();
    let seen = 0;
    request.on("data", (chunk: Buffer) => {
      seen += chunk.length;
      if (seen > 300_000) request.socket.resetAndDestroy();
    });
  },
  "400 RequestTimeout": (_: http.IncomingMessage, response: http.ServerResponse) => {
    response
      .writeHead(400, { connection: "close" })
      .end("<Error><Code>RequestTimeout</Code></Error>");
  },
})) {
  test(`${how}: the part is sent again, and only it`, async (t) => {
    const { server, begin, told, assertStored, puts } = await scene(t);
    // Not the first, so that the storage is known to be there.
    disturb(server, 3, act, (url) => /\/(5|9|21)\?/.test(url));
    await begin().done();
    assertStored();
    assert.equal(puts().length, partCount + 3);
    assert.deepEqual(told.notices, []);
    const shown = told.progress.map((progress) => progress.bytes);
    assert.deepEqual(
      shown,
      shown.toSorted((a, b) => a - b),
      "it never goes back",
    );
  });
}

test("Retry-After of a storage is waited for", async (t) => {
  const { server, begin, assertStored } = await scene(t);
  let refusedAt = 0;
  let againAt = 0;
  server.intercept = (request, response) => {
    if (!request.url?.includes("/3?")) return false;
    if (refusedAt > 0) againAt ||= performance.now();
    if (refusedAt > 0) return false;
    refusedAt = performance.now();
    response.writeHead(503, { "retry-after": "1", connection: "close" }).end("<Error/>");
    return true;
  };
  await begin().done();
  assertStored();
  assert.ok(againAt - refusedAt >= 990, `${againAt - refusedAt} ms`);
});

test("signed requests that are too old are signed again, in batches", async (t) => {
  const { server, begin, told, assertStored } = await scene(t);
  let done = 0;
  server.intercept = (request, response) => {
    if (request.method !== "PUT" || !request.url?.startsWith("/signed/")) return false;
    response.on("finish", () => {
      done += 1;
      if (done === 8) server.direct.settings.signaturesFrom = server.direct.settings.signatures;
    });
    return false;
  };
  await begin().done();
  assertStored();
  assert.deepEqual(told.notices, []);
  const signing = server.requests.filter((request) => request.endsWith("/requests"));
  assert.ok(signing.length < 12, `${signing.length} times`);
});

test("a token that expires in the middle is fetched again, once", async (t) => {
  let asked = 0;
  const { server, begin, assertStored } = await scene(t, {
    token: () => {
      asked += 1;
      return `token.${asked}`;
    },
  });
  server.tokens.add("token.1");
  disturb(
    server,
    1,
    (request, response) => {
      server.tokens.delete("token.1");
      server.tokens.add("token.2");
      void server.direct.receive(request, response);
    },
    (url) => url.includes("/2?"),
  );
  await begin().done();
  assertStored();
  assert.equal(asked, 2);
});

for (const [how, act] of Object.entries({
  "does not answer": (request: http.IncomingMessage) => request.socket.destroy(),
  refuses: (_: http.IncomingMessage, response: http.ServerResponse) => {
    response
      .writeHead(403, { connection: "close" })
      .end("<Error><Code>AccessDenied</Code></Error>");
  },
  "is another program": (_: http.IncomingMessage, response: http.ServerResponse) => {
    response.writeHead(405, { connection: "close" }).end("<html>");
  },
})) {
  test(`a storage that ${how}: all goes through the server, and that is said once`, async (t) => {
    const { server, begin, told, assertStored } = await scene(t);
    server.intercept = (request, response) => {
      if (!ofStorage(server)(request)) return false;
      act(request, response);
      return true;
    };
    await begin().done();
    assertStored();
    assert.deepEqual(
      told.notices.map((notice) => notice.code),
      ["direct_failed"],
    );
    const [abandoned] = server.requests.filter((request) =>
      request.startsWith("DELETE /v1/uploads"),
    );
    assert.ok(abandoned, "the first upload is freed");
    assert.equal(server.direct.uploads.size, 1);
    // A stream whose bytes are still held, too.
    const stream = Readable.from([bytes.subarray(0, 12 * MiB), bytes.subarray(12 * MiB)]);
    await begin(stream, { key: "b", length: bytes.length }).done();
    assertStored("b");
    await assert.rejects(begin(bytes, { via: "storage", key: "c" }).done(), (error: unknown) => {
      assert.ok(isRomaError(error), String(error));
      assert.match(error.code, /connection_failed|access_denied|bad_answer/);
      return true;
    });
    assert.equal(server.objects.has("test/c"), false);
  });
}

test("a server that fails for good ends the upload, frees it, and says why", async (t) => {
  const { server, begin, told } = await scene(t);
  server.direct.settings.via = "server";
  server.intercept = (request, response) => {
    if (!request.url?.includes("/4?")) return false;
    answerProblem(response, 507, "storage_full", "no room");
    return true;
  };
  await assert.rejects(begin().done(), code("storage_full"));
  assert.equal(server.direct.uploads.size, 0);
  assert.equal(told.states.at(-1), "failed");
});

test("an upload that the server has forgotten begins again, once", async (t) => {
  const { server, begin, told, assertStored } = await scene(t);
  let forgotten = 0;
  server.intercept = (request) => {
    if (request.url?.includes("/7?") && forgotten < 1) {
      forgotten += 1;
      server.direct.uploads.clear();
    }
    return false;
  };
  await begin().done();
  assertStored();
  assert.deepEqual(
    told.notices.map((notice) => notice.code),
    ["began_again"],
  );
});

test("bytes that were changed on their way are refused, and nothing is stored", async (t) => {
  const { server, begin } = await scene(t);
  server.intercept = (request, response) => {
    if (!request.url?.includes("/4?")) return false;
    const { push } = request;
    request.push = (chunk: Buffer | null) => {
      if (chunk !== null && chunk.length > 0) chunk[0] = (chunk[0] ?? 0) ^ 1;
      return push.call(request, chunk);
    };
    void server.direct.receive(request, response);
    return true;
  };
  await assert.rejects(begin().done(), code("checksum_mismatch"));
  assert.equal(server.objects.size, 0);
  assert.equal(server.direct.uploads.size, 0);
});

test("a completion that takes long is asked for until it is there", async (t) => {
  const { server, begin, assertStored } = await scene(t);
  let busy = 2;
  server.intercept = (request, response) => {
    if (!request.url?.endsWith("/complete") || busy === 0) return false;
    busy -= 1;
    answerProblem(response, 423, "locked", "it takes long");
    return true;
  };
  await begin().done();
  assertStored();
  assert.equal(busy, 0);
});

test("the answer to the completion is lost: asked again, and the same", async (t) => {
  const { server, begin, assertStored } = await scene(t);
  let lost = 0;
  server.intercept = (request, response) => {
    if (!request.url?.endsWith("/complete") || lost > 0) return false;
    lost += 1;
    response.end = () => response.destroy();
    return false;
  };
  const { created } = await begin().done();
  assertStored();
  assert.equal(lost, 1);
  assert.equal(created, true);
});

test("createOnly: its own success, whose answer was lost, is no refusal", async (t) => {
  const { server, begin, assertStored } = await scene(t);
  const small = Buffer.from("small");
  let lost = 0;
  server.intercept = (request, response) => {
    if (request.method !== "PUT" || lost > 0) return false;
    lost += 1;
    response.end = () => response.destroy();
    return false;
  };
  assert.equal((await begin(small, { createOnly: true }).done()).created, true);
  assertStored("a", small);
  await assert.rejects(begin(small, { createOnly: true }).done(), code("precondition_failed"));
  await assert.rejects(begin(bytes, { createOnly: true }).done(), code("precondition_failed"));
});

test("pause interrupts what is sent, resume goes on with the parts that are missing", async (t) => {
  const { server, begin, told, assertStored, puts } = await scene(t);
  const { promise: reached, resolve: reach } = Promise.withResolvers<void>();
  server.intercept = (request) => {
    if (!request.url?.includes("/10?")) return false;
    // Hangs until the pause ends it.
    request.resume();
    reach();
    return true;
  };
  const upload = begin();
  await reached;
  upload.pause();
  server.intercept = () => false;
  assert.equal(upload.state, "paused");
  const before = puts().length;
  await atRest(() => puts().length);
  // Of six that go at once the server may not have seen the five others yet.
  assert.ok(puts().length <= before + 5, `${puts().length} were sent, ${before} before the pause`);
  upload.resume();
  await upload.done();
  assertStored();
  assert.ok(puts().length <= partCount + 6, "only what was under way is sent again");
  assert.deepEqual(told.states.slice(1), [
    ...["uploading", "paused", "uploading", "completing", "done"],
  ]);
});

test("cancel and the signal end an upload and free it, whatever it waits for", async (t) => {
  const { server, begin, told } = await scene(t);
  const endless = async function* () {
    yield Buffer.alloc(9 * MiB);
    await new Promise(() => {});
  };
  const waits: Record<string, (signal?: AbortSignal) => Upload> = {
    "an answer": (signal) => begin(bytes, signal && { signal }),
    "a source": (signal) => begin(endless(), { length: 50 * MiB, ...(signal && { signal }) }),
    "a resume": (signal) => {
      const upload = begin(bytes, signal && { signal });
      upload.pause();
      return upload;
    },
  };
  server.intercept = (request) => request.url?.includes("/2?") === true;
  for (const [what, wait] of Object.entries(waits)) {
    for (const how of ["cancel", "signal"]) {
      const controller = new AbortController();
      const upload = wait(controller.signal);
      await new Promise((resolve) => setTimeout(resolve, 50));
      if (how === "cancel") await upload.cancel();
      else controller.abort(new Error("enough"));
      await assert.rejects(upload.done(), code("aborted"), `${what}, ${how}`);
      assert.equal(told.states.at(-1), "cancelled");
      await eventually(() => server.direct.uploads.size === 0, `${what}, ${how}: it is freed`);
    }
  }
});

test("six uploads run at once, in the order in which they came; a paused one makes room", async (t) => {
  const { server, begin } = await scene(t);
  const held: (() => void)[] = [];
  server.intercept = (request, response) => {
    if (request.method !== "PUT") return false;
    held.push(() => answerProblem(response, 412, "precondition_failed", "enough"));
    return true;
  };
  const uploads = Array.from({ length: 9 }, (_, index) => begin(Buffer.from(`${index}`)));
  await eventually(
    () => held.length === 6,
    () => `${held.length} run`,
  );
  const states = () => uploads.map(({ state }) => state);
  assert.deepEqual(states().slice(6), ["waiting", "waiting", "waiting"]);
  await uploads[8]?.cancel();
  uploads[0]?.pause();
  await eventually(
    () => states()[6] === "uploading",
    () => states().join(),
  );
  assert.equal(states()[7], "waiting");
  uploads[0]?.resume();
  const ended = Promise.allSettled(uploads.map((upload) => upload.done()));
  await eventually(
    () => held.length >= 8,
    () => `${held.length} came`,
  );
  server.intercept = () => false;
  for (const end of held) end();
  await ended;
  assert.deepEqual(states().slice(7), ["done", "cancelled"]);
  await begin(Buffer.from("last")).done();
});

test("instant: bytes that the server has are proven, not sent", async (t) => {
  const { server, begin, told, assertStored, puts } = await scene(t);
  await begin(bytes, { key: "first" }).done();
  const before = puts().length;
  await begin(bytes, { instant: true }).done();
  assertStored();
  assert.equal(puts().length, before);
  assert.equal(told.notices.at(-1)?.code, "instant");
  assert.ok(told.states.includes("hashing"));
  assert.equal(told.progress.at(-1)?.bytes, bytes.length);
  const other = randomBytes(1000);
  await begin(other, { instant: true, key: "other" }).done();
  assertStored("other", other);
  // Who only knows the digest does not get the object.
  const { createHash } = await import("node:crypto");
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  const liar = begin(Buffer.alloc(bytes.length), {
    ...{ instant: true, key: "liar", checksums: { sha256 } },
  });
  await liar.done();
  assertStored("liar", Buffer.alloc(bytes.length));
  assert.equal(server.objects.size, 4);
});

test("10,000 uploads leave no socket, file, timer or listener", async (t) => {
  const { server, roma } = await scene(t);
  const folder = await mkdtemp(join(tmpdir(), "roma-sdk-"));
  t.after(() => rm(folder, { recursive: true }));
  const path = join(folder, "file");
  await writeFile(path, "a file");
  const controller = new AbortController();
  // Sockets are counted by the server below: idle ones come and go.
  const files = async () => {
    const numbers = await readdir("/proc/self/fd").catch(() => []);
    const names = numbers.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => "socket: gone"));
    return (await Promise.all(names)).filter((name) => !name.startsWith("socket:")).length;
  };
  // Nothing of theirs is kept here either.
  const upload = async (number: number) => {
    const at = { bucket: "test", key: `k${number % 10}`, signal: controller.signal };
    // Every tenth is a file, and every hundredth goes to the storage by signed requests.
    const source = number % 10 === 0 ? path : Buffer.from(`${number}`);
    const via = number % 100 === 0 ? "storage" : "auto";
    await roma.upload(source, { ...at, via }).done();
    server.requests.length = 0;
  };
  const run = async (count: number) => {
    let next = 0;
    const worker = async () => {
      while (next < count) await upload(next++);
    };
    await Promise.all(Array.from({ length: 16 }, worker));
  };
  await run(100);
  const before = await files();
  await run(10_000);
  const connections = await server.connectionCount();
  // Up to 64 idle ones are kept for the next uploads, for each of two origins: where answers come late, as many.
  assert.ok(connections <= 128, `${connections} connections`);
  assert.ok((await files()) <= before + 8, `${await files()} are open, ${before} were before`);
  const { getEventListeners } = await import("node:events");
  assert.equal(getEventListeners(controller.signal, "abort").length, 0);
  roma.close();
  await server.close();
  // The runner's own timers are few.
  const left = () => process.getActiveResourcesInfo().filter((name) => /TCP|Timeout/.test(name));
  await eventually(
    () => left().length <= 3,
    () => left().join(", "),
  );
});
