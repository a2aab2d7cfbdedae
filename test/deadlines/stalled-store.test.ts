/**
 * The metadata store is stalled for longer than the gateway in front waits: clients are told in time, and
 * nothing of what they were told has failed appears later.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  S3Client,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { type Answer, objectPath, send } from "../harness/http-client.ts";
import { rootKey, type ServerProcess, startServer } from "../harness/server-process.ts";
import { requirePrerequisite } from "../prerequisites.ts";
import { startGateway } from "./gateway.ts";
import { lockStore } from "./store-lock.ts";

const gatewayMs = 2000;
/** Longer than one statement waits for the lock. The store stays locked until all are answered. */
const stalledMsMin = 10_000;
/** For a machine that does other things as well, or nothing at all for a moment. Who waited for the store waited longer. */
const slackMs = 7_000;

const flags = ["--http-gateway-ms-max", `${gatewayMs} ms`, "--http-work-ms-max", `${gatewayMs} ms`];
const tusHeaders = { "tus-resumable": "1.0.0" };

interface Timed {
  readonly answer: Answer;
  readonly ms: number;
}

async function timed(running: Promise<Answer>): Promise<Timed> {
  const startedAt = performance.now();
  const answer = await running;
  return { answer, ms: performance.now() - startedAt };
}

function assertRefusedInTime(what: string, { answer, ms }: Timed): void {
  assert.ok(ms <= gatewayMs + slackMs, `${what} answered after ${Math.round(ms)} ms`);
  assert.equal(answer.status, 503, `${what}: ${answer.status} ${answer.body}`);
  assert.ok(Number(answer.headers["retry-after"]) > 0, `${what} has Retry-After`);
  const { limit, limitMs } = JSON.parse(`${answer.body}`);
  assert.deepEqual([limit, limitMs], ["gatewayMsMax", gatewayMs], what);
}

async function tusUpload(server: ServerProcess, key: string, length: number): Promise<string> {
  const filename = Buffer.from(key).toString("base64");
  const made = await send(server, "POST", "/tus/demo", {
    headers: {
      ...tusHeaders,
      "upload-length": `${length}`,
      "upload-metadata": `filename ${filename}`,
    },
  });
  assert.equal(made.status, 201, `${made.body}`);
  return new URL(made.headers.location ?? "", server.url).pathname;
}

async function versionOf(server: ServerProcess, key: string): Promise<string | undefined> {
  const answer = await send(server, "HEAD", objectPath(key));
  return answer.status === 404 ? undefined : answer.headers["roma-version"];
}

/** What was there before the stall, under a way of its own, and what a client wants of it. */
async function prepare(server: ServerProcess, way: string) {
  for (const key of ["kept", "replaced", "moved"]) {
    const put = await send(server, "PUT", objectPath(`${way}/${key}`), { body: "before" });
    assert.equal(put.status, 201);
  }
  const versions = {
    kept: await versionOf(server, `${way}/kept`),
    replaced: await versionOf(server, `${way}/replaced`),
  };
  return { way, versions, tus: await tusUpload(server, `${way}/by-tus`, 5) };
}

type Prepared = Awaited<ReturnType<typeof prepare>>;

function stalledRequests(at: { readonly url: string }, { way, tus }: Prepared) {
  const json = { "content-type": "application/json" };
  const move = {
    from: { bucket: "demo", key: `${way}/moved` },
    to: { bucket: "demo", key: `${way}/elsewhere` },
  };
  return {
    put: send(at, "PUT", objectPath(`${way}/new`), { body: "new" }),
    replace: send(at, "PUT", objectPath(`${way}/replaced`), { body: "after" }),
    delete: send(at, "DELETE", objectPath(`${way}/kept`)),
    change: send(at, "PATCH", "/v1/buckets/demo", { headers: json, body: '{"quotaBytes":4096}' }),
    move: send(at, "POST", "/v1/move", { headers: json, body: JSON.stringify(move) }),
    tus: send(at, "PATCH", tus, {
      headers: {
        ...tusHeaders,
        "upload-offset": "0",
        "content-type": "application/offset+octet-stream",
      },
      body: "bytes",
    }),
  };
}

async function assertNothingAppeared(
  server: ServerProcess,
  prepared: Prepared,
  { offsets = ["0"] }: { readonly offsets?: readonly string[] } = {},
): Promise<void> {
  const { way, versions, tus } = prepared;
  // The store has taken all that waited for it once it has taken this.
  const after = await send(server, "PUT", objectPath(`${way}/after`), { body: "x" });
  assert.equal(after.status, 201);
  assert.equal(await versionOf(server, `${way}/new`), undefined);
  assert.equal(await versionOf(server, `${way}/elsewhere`), undefined);
  assert.equal(await versionOf(server, `${way}/replaced`), versions.replaced);
  assert.equal(await versionOf(server, `${way}/kept`), versions.kept);
  const bucket = JSON.parse(`${(await send(server, "GET", "/v1/buckets/demo")).body}`);
  assert.equal(bucket.quotaBytes, null);
  assert.equal(await versionOf(server, `${way}/by-tus`), undefined);
  const head = await send(server, "HEAD", tus, { headers: tusHeaders });
  assert.ok(offsets.includes(head.headers["upload-offset"] ?? ""), "the upload is as it was");
}

/** A multipart upload with one part; its end is found by its id, whatever its first answer was. */
async function startS3Upload(server: ServerProcess) {
  const [accessKeyId = "", secretAccessKey = ""] = rootKey.split(":");
  const client = new S3Client({
    endpoint: `${server.url}/s3`,
    forcePathStyle: true,
    region: "us-east-1",
    maxAttempts: 1,
    credentials: { accessKeyId, secretAccessKey },
  });
  const where = { Bucket: "demo", Key: "by-s3" };
  const { UploadId } = await client.send(new CreateMultipartUploadCommand(where));
  const part = { ...where, UploadId, PartNumber: 1, Body: "part" };
  const { ETag } = await client.send(new UploadPartCommand(part));
  const MultipartUpload = { Parts: [{ PartNumber: 1, ETag }] };
  const complete = () =>
    client.send(new CompleteMultipartUploadCommand({ ...where, UploadId, MultipartUpload }));
  return { complete, end: () => client.destroy() };
}

test("a store that is stalled for 10 s: every change is refused before the gateway gives up and leaves nothing", async (t) => {
  const server = await startServer(t, { flags });
  const ways: { readonly at: { readonly url: string }; readonly prepared: Prepared }[] = [
    { at: server, prepared: await prepare(server, "direct") },
  ];
  if (requirePrerequisite(t, "nginx")) {
    for (const buffering of ["on", "off"] as const) {
      const at = await startGateway(t, { upstream: server, readTimeout: "60s", buffering });
      ways.push({ at, prepared: await prepare(server, `nginx-${buffering}`) });
    }
  }
  const s3 = await startS3Upload(server);
  const lock = await lockStore(t, server.data);
  const isLong = new Promise((done) => setTimeout(done, stalledMsMin));
  const startedAt = performance.now();
  const completed = s3.complete().then(
    () => "complete",
    () => `refused after ${performance.now() - startedAt}`,
  );
  const requests = ways.flatMap(({ at, prepared }) =>
    Object.entries(stalledRequests(at, prepared)).map(
      ([name, running]) => [`${prepared.way}/${name}`, running] as const,
    ),
  );
  const results = requests.map(async ([name, running]) => [name, await timed(running)] as const);
  // 504 would be nginx's own word.
  for (const [name, result] of await Promise.all(results)) assertRefusedInTime(name, result);
  const read = await timed(send(server, "GET", objectPath("direct/kept")));
  assert.equal(read.answer.status, 200, "reading goes on");
  await isLong;
  await lock.release();
  const ended = await completed;
  for (const { prepared } of ways) await assertNothingAppeared(server, prepared);
  // Answered with 200 and white space it may wait for the store; refused it leaves nothing.
  const version = await versionOf(server, "by-s3");
  assert.equal(version !== undefined, ended === "complete", ended);
  assert.ok((await s3.complete()).ETag, "who asks again gets the one result");
  s3.end();
});

test("a gateway that gives up first, and clients with Roma-Timeout", async (t) => {
  const server = await startServer(t);
  const prepared = await prepare(server, "unannounced");
  const hasGateway = requirePrerequisite(t, "nginx");
  const gateway = hasGateway
    ? await startGateway(t, { upstream: server, readTimeout: "1s", buffering: "off" })
    : undefined;
  const lock = await lockStore(t, server.data);
  const put = (value: string) =>
    timed(
      send(server, "PUT", objectPath("asked"), { headers: { "roma-timeout": value }, body: "x" }),
    );
  await t.test("what nginx gave up leaves nothing, though the server was not told", async () => {
    if (gateway === undefined) return;
    const { tus, ...requests } = stalledRequests(gateway, prepared);
    const answers = await Promise.all(Object.values(requests));
    for (const { status } of answers) assert.equal(status, 504);
    await tus;
  });
  await t.test("Roma-Timeout is kept, and leaves nothing", async () => {
    for (const [value, limitMs] of [
      ["400", 400],
      ["0.5s", 500],
      ["1 s", 1000],
    ] as const) {
      const { answer, ms } = await put(value);
      assert.equal(answer.status, 503);
      const problem = JSON.parse(`${answer.body}`);
      assert.deepEqual([problem.limit, problem.limitMs], ["Roma-Timeout", limitMs]);
      assert.ok(ms < limitMs + slackMs, `${value}: ${ms} ms`);
    }
  });
  await t.test("anything else than a duration is refused by name", async () => {
    for (const value of ["", "soon", "-1", "0", "2 days", "1,5s", "1e3"]) {
      const { answer } = await put(value);
      assert.equal(answer.status, 400, value);
      assert.equal(JSON.parse(`${answer.body}`).header, "Roma-Timeout");
    }
  });
  await lock.release();
  // A client that left was told nothing: its upload keeps the bytes that came, and is no object.
  if (hasGateway) await assertNothingAppeared(server, prepared, { offsets: ["0", "5"] });
  assert.equal(await versionOf(server, "asked"), undefined);
  assert.equal((await put("20 s")).answer.status, 201);
});
