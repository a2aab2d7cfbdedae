// The rules of the bucket for pages of other origins, against emulated vendors: what is written, what stays,
// and what is refused with the place where an operator finds it.

import { strict as assert } from "node:assert";
import { type TestContext, test } from "node:test";
import type { CorsRule } from "../../core/ports/cors-rule.ts";
import { pageRuleId, setStorageCors } from "../../core/storage-cors.ts";
import { calm, rejectsWith } from "../conformance/subject.ts";
import { withLayers } from "../layers/stack.ts";
import { s3Config } from "./config.ts";
import { openS3Storage } from "./driver.ts";
import { Emulator, type EmulatorOptions } from "./emulator/testing.ts";

const app = "https://app.example";

async function open(t: TestContext, options: EmulatorOptions) {
  const emulator = await new Emulator(options).listen();
  const { endpoint, region, bucket, lookup, key } = emulator;
  const { vendor = "aws-s3", signature = "s3" } = options;
  const given = { vendor, signature, endpoint, region, bucket, ...key };
  const driver = withLayers(openS3Storage({ id: "s3", ...s3Config.parse(given), lookup }));
  t.after(async () => {
    await driver[Symbol.asyncDispose]();
    await emulator[Symbol.asyncDispose]();
  });
  const { bucketCors = assert.fail("layers hand it on") } = driver;
  return { emulator, driver, bucketCors };
}

const others: CorsRule = {
  allowedOrigins: ["https://others.example"],
  allowedMethods: ["GET"],
  allowedHeaders: [],
  exposeHeaders: ["x-a<b>&"],
};
const call = { signal: calm };

for (const options of [
  { vendor: "aws-s3" },
  { vendor: "aws-s3", sessionToken: "temporary" },
  { vendor: "huawei-obs" },
  { vendor: "huawei-obs", signature: "native" },
  { vendor: "alibaba-oss", signature: "native" },
] as const) {
  const name = Object.values(options).join(" ");
  test(`${name}: our rule is put before those of others, replaced, and taken away`, async (t) => {
    const { emulator, driver, bucketCors } = await open(t, options);
    const named = options.vendor !== "alibaba-oss";
    assert.deepEqual(await bucketCors.read(call), []);
    await bucketCors.change(() => [others], call);
    await setStorageCors(driver, [app, "https://*.app.example"], call);
    const [ours, ...rest] = await bucketCors.read(call);
    assert.equal(ours?.id, named ? pageRuleId : undefined);
    assert.deepEqual(ours?.allowedOrigins, [app, "https://*.app.example"]);
    assert.deepEqual(rest, [others]);
    await setStorageCors(driver, ["*"], call);
    const replaced = await bucketCors.read(call);
    assert.deepEqual(
      replaced.map(({ allowedOrigins }) => allowedOrigins),
      [["*"], others.allowedOrigins],
    );
    await setStorageCors(driver, [], call);
    assert.deepEqual(await bucketCors.read(call), [others]);
    await bucketCors.change(() => [], call);
    assert.equal(emulator.cors, undefined);
  });
}

test("what a vendor puts beside the rules is written back as it was", async (t) => {
  const { emulator, driver, bucketCors } = await open(t, {
    vendor: "alibaba-oss",
    signature: "native",
  });
  emulator.cors =
    "<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod>" +
    "</CORSRule><ResponseVary>true</ResponseVary></CORSConfiguration>";
  await setStorageCors(driver, [app], call);
  assert.equal((await bucketCors.read(call)).length, 2);
  assert.match(emulator.cors, /<\/CORSRule><ResponseVary>true<\/ResponseVary>/);
});

test("a storage that lets nobody set rules says where they are set", async (t) => {
  for (const [options, hint] of [
    [{ vendor: "alibaba-oss" }, /its console, or .* signature native/],
    [{ vendor: "gcs" }, /gcloud storage buckets update/],
  ] as const) {
    const { driver, emulator } = await open(t, options);
    await rejectsWith("unsupported", setStorageCors(driver, [app], call));
    await assert.rejects(setStorageCors(driver, [app], call), hint);
    assert.deepEqual(emulator.requests, [], "nobody was asked");
  }
  const { driver, emulator } = await open(t, { vendor: "minio" });
  emulator.fault = ({ method }) =>
    method === "PUT" ? { status: 501, code: "NotImplemented" } : undefined;
  await assert.rejects(setStorageCors(driver, [app], call), {
    code: "unsupported",
    message: /MinIO answered NotImplemented .*: .* cors_allow_origin/,
  });
});

test("an answer that is no such document, and a refusal, are told apart from no rules", async (t) => {
  const { emulator, bucketCors } = await open(t, {});
  emulator.cors = "<Other/>";
  await rejectsWith("unavailable", bucketCors.read(call));
  emulator.fault = () => ({ status: 403, code: "AccessDenied" });
  await rejectsWith("unavailable", bucketCors.read(call));
});

test("an origin is tried as a browser would, and the first thing that stops it is named", async (t) => {
  const { emulator, bucketCors } = await open(t, {});
  const allowed = {
    "access-control-allow-origin": app,
    "access-control-allow-methods": "GET, PUT",
    "access-control-allow-headers": "Content-MD5, content-type",
    "access-control-expose-headers": "Date, Etag",
  };
  const stopped = async (headers: Readonly<Record<string, string>>) => {
    emulator.headers = headers;
    return await bucketCors.tryOrigin(app, call);
  };
  assert.equal(await stopped(allowed), undefined);
  assert.deepEqual(emulator.requests.slice(-2), ["OPTIONS part", "PUT part"]);
  assert.equal(emulator.uploads.size + emulator.objects.size, 0, "nothing is stored");
  assert.equal(await stopped({ ...allowed, "access-control-allow-origin": "*" }), undefined);
  assert.equal(await stopped({ ...allowed, "access-control-expose-headers": "*" }), undefined);
  for (const [name, value, problem] of [
    ["access-control-allow-origin", "https://other.example", /Allow-Origin/],
    ["access-control-allow-methods", "GET", /PUT is not in Access-Control-Allow-Methods/],
    ["access-control-allow-headers", "content-type", /content-md5 is not in/],
    ["access-control-expose-headers", "Date", /ETag is not in Access-Control-Expose-Headers/],
  ] as const) {
    assert.match((await stopped({ ...allowed, [name]: value })) ?? "", problem);
  }
  emulator.fault = ({ method }) => (method === "PUT" ? { reset: true } : undefined);
  assert.match((await stopped(allowed)) ?? "", /this server has no answer from where pages send/);
});

test("where no part can be signed, no page sends anything", async (t) => {
  const { bucketCors } = await open(t, { vendor: "huawei-obs", signature: "native" });
  assert.match((await bucketCors.tryOrigin(app, call)) ?? "", /no page sends anything/);
});
