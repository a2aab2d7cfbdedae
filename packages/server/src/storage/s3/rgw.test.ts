// The contract against a real server of the family, where one is given: Ceph RGW unless
// TEST_S3_VENDOR names another.

import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { Secret } from "../../config/index.ts";
import { systemClock } from "../../core/ports/clock.ts";
import type { Grant, PresignedRequest } from "../../core/ports/storage-driver.ts";
import { calm, keysOf, read } from "../conformance/subject.ts";
import { describeStorageDriver, type OpenStorage } from "../conformance.ts";
import { withLayers } from "../layers/stack.ts";
import { S3Client } from "./client.ts";
import { s3Config } from "./config.ts";
import { cachedCredentials } from "./credentials/credentials.ts";
import { staticCredentials } from "./credentials/sources.ts";
import { openS3Storage, type S3Options, type S3Storage } from "./driver.ts";
import { dialectOf, providers } from "./providers.ts";

const { TEST_S3_ENDPOINT: endpoint, TEST_S3_VENDOR: vendorName = "ceph-rgw" } = process.env;

if (endpoint === undefined) {
  test("s3 on ceph rgw", { skip: "TEST_S3_ENDPOINT is not set" }, () => undefined);
} else {
  const options = optionsOf(endpoint);
  const created = createBucket(options);
  const open =
    (layered: boolean): OpenStorage =>
    async (t) => {
      await created;
      const keyPrefix = `${randomUUID()}/`;
      const opened: S3Storage[] = [];
      const reopen = () => {
        const driver = openS3Storage({ ...options, keyPrefix });
        opened.push(driver);
        return layered ? withLayers(driver) : driver;
      };
      t.after(async () => {
        const clean = openS3Storage({ ...options, keyPrefix });
        for await (const upload of clean.parts?.listPending("", { signal: calm }) ?? []) {
          await clean.parts?.cancel(upload, { signal: calm });
        }
        const keys = await keysOf(clean);
        for (let start = 0; start < keys.length; start += 100) {
          const some = keys.slice(start, start + 100);
          await Promise.all(some.map((key) => clean.delete(key, { signal: calm })));
        }
        for (const driver of [...opened, clean]) await driver[Symbol.asyncDispose]();
      });
      return { driver: reopen(), reopen: async () => reopen() };
    };
  describeStorageDriver(`s3 on ${vendorName}`, open(false), { idleConnectionsMax: 16 });
  describeStorageDriver(`s3 on ${vendorName} with all layers`, open(true), {
    digests: true,
    idleConnectionsMax: 16,
  });

  test(`s3 on ${vendorName}: grants work for a client without credentials`, async (t) => {
    await created;
    const driver = openS3Storage({ ...options, keyPrefix: `${randomUUID()}/` });
    t.after(() => driver[Symbol.asyncDispose]());
    const sign = (grant: Grant) => driver.presign?.(grant, { signal: calm }) ?? assert.fail();
    const expiresAt = new Date(Date.now() + 60_000);
    const common = { key: "dir/é a+b%.txt", expiresAt, contentType: "text/plain" };
    const toPut = await sign({ ...common, verb: "put", length: 5 });
    const send = async ({ method, url, headers }: PresignedRequest, body?: RequestInit["body"]) =>
      (await fetch(url, { method, headers, ...(body !== undefined && { body }) })).status;
    assert.equal(await send(toPut, "other length"), 403);
    assert.equal(await send(toPut, "hello"), 200);
    const toGet = await sign({
      ...common,
      verb: "get",
      contentDisposition: 'inline; filename="x"',
    });
    const got = await fetch(toGet.url);
    assert.deepEqual(
      [await got.text(), got.headers.get("content-disposition")],
      ["hello", 'inline; filename="x"'],
    );
    const toPost = await sign({ ...common, verb: "post", lengthMax: 5 });
    for (const [text, status] of [
      ["longer", 400],
      ["short", 201],
    ] as const) {
      const form = new FormData();
      for (const [name, value] of Object.entries(toPost.fields ?? {})) form.append(name, value);
      form.append("file", new Blob([text], { type: "text/plain" }), "f");
      assert.equal(await send(toPost, form), status, text);
    }
    assert.equal((await read(driver, common.key)).toString(), "short");
    await driver.delete(common.key, { signal: calm });
  });
}

function optionsOf(address: string): S3Options {
  const { TEST_S3_ACCESS_KEY: accessKeyId = "", TEST_S3_SECRET_KEY: secret = "" } = process.env;
  const bucket = process.env.TEST_S3_BUCKET ?? `roma-${randomUUID()}`;
  const given = { vendor: vendorName, endpoint: address, bucket, accessKeyId };
  const settings = s3Config.parse({ ...given, secretAccessKey: secret, connectionsMax: 256 });
  return { id: "s3", ...settings, secretAccessKey: new Secret(secret) };
}

/** A bucket of its own for this run, unless one was given. */
async function createBucket(given: S3Options): Promise<void> {
  if (process.env.TEST_S3_BUCKET !== undefined) return;
  const provider = providers[given.vendor];
  const { accessKeyId = "", secretAccessKey } = given;
  const source = staticCredentials({
    accessKeyId,
    secretAccessKey: secretAccessKey?.reveal() ?? "",
  });
  const client = new S3Client({
    ...given,
    region: given.region ?? provider.region ?? "us-east-1",
    dialect: dialectOf(provider, given.signature),
    credentials: cachedCredentials(source, { clock: systemClock }),
    clock: systemClock,
  });
  await client.read({ operation: "probe", method: "PUT", signal: calm });
  await client.close();
}
