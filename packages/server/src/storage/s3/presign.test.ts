// Presigned addresses, used by a client that has no credentials, against emulated vendors.

import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import { type TestContext, test } from "node:test";
import { Agent, request } from "undici";
import type { Grant, PresignedRequest } from "../../core/ports/storage-driver.ts";
import { calm, put, read, rejectsWith } from "../conformance/subject.ts";
import { withLayers } from "../layers/stack.ts";
import { s3Config } from "./config.ts";
import { openS3Storage } from "./driver.ts";
import { Emulator, type EmulatorOptions } from "./emulator/testing.ts";

type Send = (
  presigned: PresignedRequest,
  body?: string,
  headers?: Readonly<Record<string, string>>,
) => Promise<{ readonly status: number; readonly text: string }>;

const keys = { accessKeyId: "AKTEST", secretAccessKey: "secret" };

async function open(
  t: TestContext,
  options: EmulatorOptions,
  settingsOf: (emulator: Emulator) => object = () => ({}),
) {
  const emulator = await new Emulator(options).listen();
  const { endpoint, region, bucket, lookup, key } = emulator;
  const { vendor = "aws-s3", signature = "s3" } = options;
  const given = { vendor, signature, endpoint, region, bucket, ...key, ...settingsOf(emulator) };
  const driver = openS3Storage({ id: "s3", ...s3Config.parse(given), lookup });
  const agent = new Agent({ connect: { lookup } });
  t.after(async () => {
    await agent.destroy();
    await driver[Symbol.asyncDispose]();
    await emulator[Symbol.asyncDispose]();
  });
  const send: Send = async ({ method, url, headers }, body, others = {}) => {
    const options = { method, headers: { ...headers, ...others }, dispatcher: agent };
    const answer = await request(url, { ...options, ...(body !== undefined && { body }) });
    return { status: answer.statusCode, text: await answer.body.text() };
  };
  // Layers hand presign on.
  const { presign = assert.fail("no presign") } = withLayers(driver);
  const sign = (grant: Grant) => presign(grant, { signal: calm });
  return { emulator, driver, send, sign };
}

const inAMinute = () => new Date(Date.now() + 60_000);
const key = "dir/é a+b%.txt";

const vendors: readonly EmulatorOptions[] = [
  { vendor: "aws-s3" },
  { vendor: "aws-s3", sessionToken: "temporary" },
  { vendor: "alibaba-oss", signature: "native" },
  { vendor: "alibaba-oss", signature: "native", sessionToken: "temporary" },
  { vendor: "huawei-obs" },
];

for (const options of vendors) {
  const name = `${options.vendor} ${options.signature ?? ""} ${options.sessionToken ?? ""}`;
  test(`${name}: a presigned put takes that body and type only, a get reads`, async (t) => {
    const { driver, send, sign } = await open(t, options);
    const md5 = createHash("md5").update("hello").digest();
    const grant = { verb: "put", key, expiresAt: inAMinute(), length: 5 } as const;
    const presigned = await sign({ ...grant, contentType: "text/plain", digests: { md5 } });
    assert.equal(presigned.method, "PUT");
    assert.equal((await send(presigned, "longer body")).status, 403);
    assert.equal((await send(presigned, "hello", { "content-type": "text/html" })).status, 403);
    assert.equal((await send(presigned, "hallo")).status, 400);
    assert.equal((await send({ ...presigned, method: "GET" })).status, 403);
    assert.equal((await send(presigned, "hello")).status, 200);
    assert.equal((await read(driver, key)).toString(), "hello");
    const get = await sign({ verb: "get", key, expiresAt: inAMinute() });
    assert.deepEqual(await send(get), { status: 200, text: "hello" });
    assert.equal((await send({ ...get, url: get.url.replace("dir/", "other/") })).status, 403);
    const named = {
      verb: "get",
      key,
      expiresAt: inAMinute(),
      contentDisposition: "inline",
    } as const;
    const url = new URL((await sign(named)).url);
    assert.equal(url.searchParams.get("response-content-disposition"), "inline");
    assert.equal((await send({ ...get, url: url.href })).status, 200);
  });
}

test("OBS's own signature reads, and binds no length", async (t) => {
  const { driver, send, sign } = await open(t, { vendor: "huawei-obs", signature: "native" });
  await put(driver, key, "hello");
  const get = await sign({ verb: "get", key, expiresAt: inAMinute() });
  assert.deepEqual(await send(get), { status: 200, text: "hello" });
  const grant = { key, expiresAt: inAMinute(), length: 5, contentType: "a/b" } as const;
  await rejectsWith("unsupported", sign({ ...grant, verb: "put" }));
});

for (const [vendor, publicAddressStyle, host] of [
  ["aws-s3", undefined, "bucket.public.test"],
  ["aws-s3", "path", "public.test"],
  ["minio", undefined, "public.test"],
  ["minio", "virtual", "bucket.public.test"],
] as const) {
  const name = `${vendor}, ${publicAddressStyle ?? "as the server"}`;
  test(`${name}: what is signed leads to the public endpoint, and is good there`, async (t) => {
    const { driver, send, sign } = await open(t, { vendor }, ({ endpoint }) => ({
      publicEndpoint: endpoint.replace("storage.test", "public.test"),
      ...(publicAddressStyle === undefined ? {} : { publicAddressStyle }),
    }));
    const grant = { key, expiresAt: inAMinute(), length: 5, contentType: "text/plain" } as const;
    const presigned = await sign({ ...grant, verb: "put" });
    assert.equal(new URL(presigned.url).hostname, host);
    assert.equal((await send(presigned, "hello")).status, 200);
    // The server's own way is as before.
    assert.equal((await read(driver, key)).toString(), "hello");
    const other = presigned.url.replace("public.test", "storage.test");
    assert.equal((await send({ ...presigned, url: other }, "hello")).status, 403);
    const form = await sign({ ...grant, verb: "post", lengthMax: 5 });
    assert.equal(new URL(form.url).hostname, host);
  });
}

test("a domain that is the bucket's own has the bucket nowhere; settings that cannot be are named", async (t) => {
  const settings = { publicEndpoint: "https://files.example/up/", publicAddressStyle: "domain" };
  const { sign } = await open(t, { vendor: "alibaba-oss", signature: "native" }, () => settings);
  const { origin, pathname } = new URL(
    (await sign({ verb: "get", key, expiresAt: inAMinute() })).url,
  );
  assert.deepEqual([origin, pathname], ["https://files.example", "/up/dir/%C3%A9%20a%2Bb%25.txt"]);
  for (const [wrong, message] of [
    [{ publicAddressStyle: "domain" }, /^publicAddressStyle: needs a publicEndpoint/],
    [{ publicEndpoint: "ftp://h" }, /^publicEndpoint: not an http/],
    [{ publicEndpoint: "https://h/?a" }, /^publicEndpoint: only a host/],
    [{ publicEndpoint: "http://127.0.0.1" }, /^publicEndpoint: .* virtual needs a host name/],
  ] as const) {
    const given = { vendor: "aws-s3", region: "r1", bucket: "bucket", ...keys, ...wrong };
    assert.throws(() => openS3Storage({ id: "s3", ...s3Config.parse(given) }), { message });
  }
});

test("a presigned part belongs to its upload", async (t) => {
  const { driver, send, sign } = await open(t, {});
  const upload = await driver.parts?.create(key, { signal: calm, partBytes: 5 * 1024 * 1024 });
  assert.ok(upload && driver.parts);
  const grant = { ...upload, expiresAt: inAMinute(), partNumber: 1, length: 5 } as const;
  const md5 = createHash("md5").update("hello").digest();
  const digested = await sign({ ...grant, verb: "writePart", digests: { md5 } });
  assert.deepEqual(digested.headers, { "content-md5": md5.toString("base64") });
  assert.equal((await send(digested, "hallo")).status, 400);
  const presigned = await sign({ ...grant, verb: "writePart" });
  assert.equal((await send(presigned, "longer")).status, 403);
  assert.equal((await send(presigned, "hello")).status, 200);
  const parts = await Array.fromAsync(driver.parts.listParts(upload, { signal: calm }));
  await driver.parts.complete(upload, parts, { signal: calm, length: 5 });
  assert.equal((await read(driver, key)).toString(), "hello");
});

test("what a vendor cannot bind, or lasts too long or no more, is refused", async (t) => {
  const r2 = await open(t, { vendor: "cloudflare-r2" });
  const form = { verb: "post", key, lengthMax: 5, contentType: "text/plain" } as const;
  await rejectsWith("unsupported", r2.sign({ ...form, expiresAt: inAMinute() }));
  const named = { verb: "get", key, contentDisposition: "inline" } as const;
  await rejectsWith("unsupported", r2.sign({ ...named, expiresAt: inAMinute() }));
  const { sign } = await open(t, {});
  await rejectsWith("expired", sign({ verb: "get", key, expiresAt: new Date() }));
  const late = new Date(Date.now() + 8 * 86_400_000);
  await rejectsWith("unsupported", sign({ verb: "get", key, expiresAt: late }));
  const sha256 = new Uint8Array(32);
  const put = { verb: "put", key, length: 5, contentType: "a/b", digests: { sha256 } } as const;
  await rejectsWith("unsupported", sign({ ...put, expiresAt: inAMinute() }));
});
