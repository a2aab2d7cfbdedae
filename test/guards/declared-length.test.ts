/** What is declared and does not fit above the hard watermark: refused before a byte of it is taken, and counted while it runs. */
import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import type { ClientRequest } from "node:http";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { requestOf } from "../../packages/server/src/protocols/rest/direct-testing.ts";
import {
  presigned,
  signedHeaders,
} from "../../packages/server/src/protocols/s3/testing-signature.ts";
import { cleanUp } from "../harness/cleanup.ts";
import { listFiles } from "../harness/data-folder.ts";
import { type Answer, begin, postJson, problemCode, send } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import {
  rootKey,
  type ServerProcess,
  startServer,
  temporaryFolder,
} from "../harness/server-process.ts";
import { mountTmpfs } from "../harness/tmpfs.ts";
import { requirePrerequisite } from "../prerequisites.ts";

const MiB = 1024 * 1024;
const diskBytes = 8 * MiB;
const tooMuch = 20 * MiB;
const flags = [
  ...["--disk-interval", "100ms", "--blob-grace", "0 ms", "--trash-keep", "0 s"],
  ...["--sweeper-interval", "100 ms"],
  // Who sends all the same has so long for it, also where this process stands still meanwhile.
  ...["--http-linger-ms-max", "60 s"],
];
const tus = { "tus-resumable": "1.0.0" };
const interop = { "upload-draft-interop-version": "8" };
const [keyId = "", secret = ""] = rootKey.split(":");

/** A server with the storages `small` and `beside`, both on one file system of 8 MiB, and a bucket for each. */
async function start(t: TestContext): Promise<{ server: ServerProcess; disk: string }> {
  const disk = join(await temporaryFolder(t), "disk");
  await mountTmpfs(t, disk, { bytes: diskBytes, inodes: 1_000 });
  const config = join(await temporaryFolder(t), "roma.json");
  const app = { appId: "app", masterKey: "m", accessKeyId: keyId, bucket: "small" };
  await writeFile(config, JSON.stringify({ parse: { applications: [app] } }));
  const server = await startServer(t, { flags, environment: { ROMA_CONFIG: config } });
  for (const id of ["small", "beside"]) {
    const root = join(disk, id);
    await made(server, `/v1/storages/${id}`, { driver: "posix", root });
    await made(server, `/v1/buckets/${id}`, { placement: id });
  }
  // From its first look at them on the guard knows what there is.
  await eventually("the disks are looked at", async () => {
    const text = await (await fetch(`${server.opsUrl}/metrics`)).text();
    return ["small", "beside"].every((id) => text.includes(`disk_state{mount="storage:${id}"`));
  });
  return { server, disk };
}

async function made(server: ServerProcess, path: string, value: object): Promise<void> {
  const answer = await send(server, "PUT", path, { body: JSON.stringify(value) });
  assert.equal(answer.status, 201, answer.body.toString());
}

interface Declared {
  readonly headers?: Readonly<Record<string, string>>;
  /** Left out: a header of its own says it. */
  readonly bytes?: number;
  readonly authorization?: string | null;
}

/** The answer to a request of which only the head is sent. */
async function declare(
  t: TestContext,
  server: ServerProcess,
  [method, path]: readonly [string, string],
  { bytes, headers = {}, ...options }: Declared,
): Promise<Answer> {
  const length = bytes === undefined ? {} : { "content-length": `${bytes}` };
  const { request, answer } = begin(server, method, path, {
    ...options,
    headers: { ...headers, ...length },
  });
  cleanUp(t, () => request.destroy());
  request.on("continue", () => request.destroy(new Error("the server asks for the body")));
  if (bytes === undefined && headers["transfer-encoding"] === undefined) request.end();
  else request.flushHeaders();
  return await answer;
}

function assertRefused(name: string, { status, headers, body }: Answer, bytes: number): void {
  const text = body.toString();
  assert.equal(status, 507, `${name}: ${status} ${text}`);
  assert.ok(Number(headers["retry-after"]) > 0, `${name} has Retry-After`);
  const said = /(\d+) bytes were declared, and the disk of storage \w+ has room for (\d+)/.exec(
    text,
  );
  assert.equal(Number(said?.[1]), bytes, `${name}: ${text}`);
  assert.ok(Number(said?.[2]) < bytes, `${name}: ${text}`);
}

function signedTarget(server: ServerProcess, method: string, target: string): string {
  const { host } = new URL(server.url);
  return presigned({ method, target, headers: { host } }, { keyId, secret });
}

async function bytesIn(folder: string): Promise<number> {
  const files = await listFiles(folder);
  const sizes = files.map((file) => statSync(join(folder, file), { throwIfNoEntry: false })?.size);
  return sizes.reduce<number>((sum, size = 0) => sum + size, 0);
}

/** A PUT that has sent the first of its bytes, which are on the disk. */
async function under(
  t: TestContext,
  server: ServerProcess,
  disk: string,
  { path, bytes, first }: { readonly path: string; readonly bytes: number; readonly first: number },
): Promise<{ readonly request: ClientRequest; readonly answer: Promise<Answer> }> {
  const before = await bytesIn(disk);
  const running = begin(server, "PUT", path, { headers: { "content-length": `${bytes}` } });
  cleanUp(t, () => running.request.destroy());
  running.answer.catch(() => undefined);
  running.request.write(Buffer.alloc(first, 1));
  // The storage may still gather the last of them. What is written while the guard looks counts twice for that look.
  let seen = -1;
  await eventually("bytes are on the disk, and no more come", async () => {
    const now = (await bytesIn(disk)) - before;
    const isAll = now >= first / 2 && now === seen;
    seen = now;
    await delay(100);
    return isAll;
  });
  return running;
}

test("more than there is room for is 507 in every front end before a byte is taken, what fits goes through, and nothing is left over", async (t) => {
  if (!requirePrerequisite(t, "tmpfs")) return;
  const { server, disk } = await start(t);
  const before = await listFiles(disk);
  const at = "/v1/objects/small/new";
  const ask = (name: string, what: readonly [string, string], how: Declared): Promise<void> =>
    declare(t, server, what, how).then((answer) => assertRefused(name, answer, tooMuch));
  const anonymous = { authorization: null };
  const parse = { "x-parse-application-id": "app", "x-parse-master-key": "m" };
  const begun = await send(
    server,
    "POST",
    signedTarget(server, "POST", "/s3/small/new?uploads"),
    anonymous,
  );
  const uploadId = /<UploadId>([^<]+)/.exec(begun.body.toString())?.[1] ?? "";
  const { host } = new URL(server.url);
  const framed = signedHeaders(
    {
      method: "PUT",
      target: "/s3/small/new",
      headers: {
        host,
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-decoded-content-length": `${tooMuch}`,
        "x-amz-trailer": "x-amz-checksum-crc32",
      },
      body: "",
    },
    { keyId, secret },
    new Date(),
  );
  const part = `/s3/small/new?partNumber=1&uploadId=${uploadId}`;
  const s3 = (target: string) => ["PUT", signedTarget(server, "PUT", target)] as const;

  await ask("rest", ["PUT", at], { bytes: tooMuch });
  await ask("rest, waiting for a sign", ["PUT", at], {
    bytes: tooMuch,
    headers: { expect: "100-continue" },
  });
  await ask("ietf, whole", ["PUT", at], {
    bytes: tooMuch,
    headers: { ...interop, "upload-complete": "?1" },
  });
  await ask("ietf, the length of what begins", ["PUT", at], {
    bytes: 3,
    headers: { ...interop, "upload-complete": "?0", "upload-length": `${tooMuch}` },
  });
  await ask("ietf, a body of unknown whole", ["PUT", at], {
    bytes: tooMuch,
    headers: { ...interop, "upload-complete": "?0" },
  });
  await ask("tus", ["POST", "/tus/small"], {
    headers: { ...tus, "upload-length": `${tooMuch}`, "upload-metadata": `key ${btoa("tus")}` },
  });
  await ask("s3", s3("/s3/small/new"), { ...anonymous, bytes: tooMuch });
  await ask("s3 in chunks", ["PUT", "/s3/small/new"], {
    authorization: framed.authorization ?? "",
    headers: { ...framed, "transfer-encoding": "chunked" },
  });
  await ask("s3 part", s3(part), { ...anonymous, bytes: tooMuch });
  await ask("parse", ["POST", "/parse/files/a.bin"], {
    ...anonymous,
    bytes: tooMuch,
    headers: parse,
  });
  const asked = { bucket: "small", key: "new", length: tooMuch };
  const direct = await postJson(server, "/v1/uploads", asked);
  assertRefused("direct", direct, tooMuch);
  assert.equal(problemCode(direct), "storage_full");

  // Who sends it all the same hears it too.
  const sent = await send(server, "PUT", at, { body: Buffer.alloc(tooMuch) });
  assertRefused("sent", sent, tooMuch);

  assert.deepEqual(await listFiles(disk), before, "nothing is left over");
  const body = Buffer.alloc(MiB, 7);
  const whole = await send(server, "PUT", at, { body });
  assert.equal(whole.status, 201, whole.body.toString());
  assert.deepEqual((await send(server, "GET", at)).body, body);
});

test("what was begun and does not fit any more is 507 before its bytes, and goes on in pieces that do", async (t) => {
  if (!requirePrerequisite(t, "tmpfs")) return;
  const { server, disk } = await start(t);
  const length = 6 * MiB;
  const created = await send(server, "POST", "/tus/small", {
    headers: { ...tus, "upload-length": `${length}`, "upload-metadata": `key ${btoa("tus")}` },
  });
  assert.equal(created.status, 201, created.body.toString());
  const path = new URL(created.headers.location ?? "", server.url).pathname;
  const asked = { bucket: "small", key: "direct", length };
  const direct = JSON.parse((await postJson(server, "/v1/uploads", asked)).body.toString());
  const part = new URL(requestOf(direct).url);
  const filler = join(disk, ".filler");
  await writeFile(filler, Buffer.alloc(3 * MiB));
  const patch = { ...tus, "content-type": "application/offset+octet-stream", "upload-offset": "0" };
  const partPath = ["PUT", part.pathname + part.search] as const;
  const partHow = { authorization: null, bytes: length };
  await eventually("it is seen", async () => {
    const answer = await postJson(server, "/v1/uploads", { ...asked, key: "other" });
    return answer.status === 507;
  });
  assertRefused("direct part", await declare(t, server, partPath, partHow), length);
  const whole = await declare(t, server, ["PATCH", path], { headers: patch, bytes: length });
  assertRefused("tus", whole, length);
  const piece = await send(server, "PATCH", path, { headers: patch, body: Buffer.alloc(MiB, 1) });
  assert.equal(piece.status, 204, piece.body.toString());
  await rm(filler);
  const rest = { ...patch, "upload-offset": `${MiB}` };
  const body = Buffer.alloc(length - MiB, 2);
  await eventually("it goes on once there is room", async () => {
    return (await send(server, "PATCH", path, { headers: rest, body })).status === 204;
  });
  const got = await send(server, "GET", "/v1/objects/small/tus");
  assert.deepEqual(got.body, Buffer.concat([Buffer.alloc(MiB, 1), body]));
});

test("a fallback takes what the first choice has no room for, and the first choice what fits", async (t) => {
  if (!requirePrerequisite(t, "tmpfs")) return;
  const { server, disk } = await start(t);
  await made(server, "/v1/buckets/both", { placement: [{ storage: "small", fallback: "local" }] });
  const before = await bytesIn(disk);
  const large = Buffer.alloc(tooMuch, 3);
  const away = await send(server, "PUT", "/v1/objects/both/large", { body: large });
  assert.equal(away.status, 201, away.body.toString());
  assert.equal(await bytesIn(disk), before, "elsewhere");
  assert.deepEqual((await send(server, "GET", "/v1/objects/both/large")).body, large);
  const body = large.subarray(0, MiB);
  assert.equal((await send(server, "PUT", "/v1/objects/both/k", { body })).status, 201);
  assert.equal(await bytesIn(disk), before + MiB);
});

test("what a running upload has declared is not given to another, on any storage of the file system, and is free again however it ends", async (t) => {
  if (!requirePrerequisite(t, "tmpfs")) return;
  const { server, disk } = await start(t);
  const bytes = 4.5 * MiB;
  const path = "/v1/objects/small/first";
  const empty = await bytesIn(disk);
  const first = await under(t, server, disk, { path, bytes, first: 4 * MiB });
  const other = ["PUT", "/v1/objects/beside/second"] as const;
  const second = { bytes, headers: { expect: "100-continue" } };
  assertRefused("the second", await declare(t, server, other, second), bytes);
  // Bytes that were declared and have come do not count twice.
  const body = Buffer.alloc(2 * MiB, 5);
  const fits = await send(server, "PUT", "/v1/objects/beside/fits", { body });
  assert.equal(fits.status, 201, fits.body.toString());
  first.request.end(Buffer.alloc(bytes - 4 * MiB, 1));
  assert.equal((await first.answer).status, 201);
  assertRefused("while it is there", await declare(t, server, other, second), bytes);

  for (const one of ["small/first", "beside/fits"]) {
    assert.equal((await send(server, "DELETE", `/v1/objects/${one}`)).status, 204);
  }
  const whole = Buffer.alloc(bytes, 6);
  const again = async (): Promise<boolean> =>
    (await send(server, ...other, { body: whole })).status === 201;
  await eventually("its room is free again", again);
  assert.equal((await send(server, "DELETE", other[1])).status, 204);
  await eventually("what was removed is gone", async () => (await bytesIn(disk)) === empty);
  const left = await under(t, server, disk, { path, bytes, first: MiB });
  left.request.destroy();
  await eventually("the room of one that was cut off is free again", again);
  assert.deepEqual((await send(server, "GET", other[1])).body, whole);
});
