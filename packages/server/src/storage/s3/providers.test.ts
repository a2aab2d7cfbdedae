// The rows, the addresses they make, and the settings that the documentation shows.

import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { test } from "node:test";
import { z } from "zod";
import { isOperationalError } from "../../core/errors.ts";
import { type AddressOptions, bucketAddress } from "./address.ts";
import { s3Config } from "./config.ts";
import { openS3Storage } from "./driver.ts";
import { classifyAnswer } from "./errors.ts";
import { dialectOf, providers, type Vendor, vendors } from "./providers.ts";

const docs = resolve(import.meta.dirname, "../../../../../docs/storages");

for (const vendor of vendors) {
  test(`${vendor}: the documented settings open a storage at the vendor's address`, async () => {
    const page = readFileSync(`${docs}/${vendor}.md`, "utf8");
    const shown: unknown = JSON.parse(/```json\n(.*?)```/s.exec(page)?.[1] ?? "");
    const { driver, ...settings } = z.looseObject({ driver: z.literal("s3") }).parse(shown);
    const storage = openS3Storage({ id: driver, ...s3Config.parse(settings) });
    const { vendor: opened, addressStyle } = storage.facts();
    assert.deepEqual([opened, addressStyle], [vendor, providers[vendor].addressStyle]);
    await storage[Symbol.asyncDispose]();
  });

  test(`${vendor}: the row holds together`, () => {
    const row = providers[vendor];
    assert.equal(row.vendor, vendor);
    assert.ok(row.partBytesMin <= 8 * 1024 * 1024 && row.partBytesMin < row.partBytesMax);
    assert.ok(!row.conditionalComplete || row.createOnlyHeader !== undefined);
    assert.ok(row.endpoint?.includes("{region}") !== true || row.region === undefined);
    assert.ok(row.multipartEtagForm === "opaque" || row.partEtagIsMd5);
  });
}

function addressOf(vendor: (typeof vendors)[number], options: Partial<AddressOptions>) {
  const dialect = dialectOf(providers[vendor], "s3");
  const given = { region: "r1", bucket: "bucket", ...options };
  const { origin, pathOf } = bucketAddress(dialect, given);
  return `${origin}${pathOf("a/../b c")} ${pathOf(undefined)}`;
}

test("the bucket stands in the host name or in the path, and keys as they are", () => {
  assert.equal(addressOf("aws-s3", {}), "https://bucket.s3.r1.amazonaws.com/a/../b%20c /");
  assert.equal(
    addressOf("ceph-rgw", { endpoint: "http://h:7480/s3/" }),
    "http://h:7480/s3/bucket/a/../b%20c /s3/bucket",
  );
  assert.equal(
    addressOf("ceph-rgw", { endpoint: "h.test", addressStyle: "virtual" }),
    "https://bucket.h.test/a/../b%20c /",
  );
});

test("an address that cannot be is refused by the setting's name", () => {
  const cases: readonly (readonly [(typeof vendors)[number], Partial<AddressOptions>, RegExp])[] = [
    ["minio", {}, /^endpoint: MinIO needs one/],
    ["minio", { endpoint: "ftp://h" }, /^endpoint:/],
    ["minio", { endpoint: "https://h/?a=b" }, /^endpoint:/],
    ["minio", { endpoint: "https://u:p@h" }, /^endpoint:/],
    ["minio", { endpoint: "https://h", bucket: "../x" }, /^bucket:/],
    ["aws-s3", { bucket: "with.dots" }, /^bucket:/],
    ["tencent-cos", { addressStyle: "path" }, /addressStyle virtual only/],
    ["alibaba-oss", { endpoint: "http://127.0.0.1:9000" }, /^endpoint:/],
  ];
  for (const [vendor, options, message] of cases) {
    assert.throws(
      () => addressOf(vendor, options),
      (error) => isOperationalError(error, "invalid_request") && message.test(error.message),
    );
  }
  assert.throws(() => dialectOf(providers.minio, "native"), /^Error: signature:|signature:/);
});

test("settings without a key, or with a key prefix that begins with a slash, are refused", () => {
  const given = { vendor: "minio", endpoint: "https://h", bucket: "bucket" };
  assert.throws(() => openS3Storage({ id: "x", ...s3Config.parse(given) }), /accessKeyId/);
  assert.equal(s3Config.safeParse({ ...given, keyPrefix: "/a" }).success, false);
  assert.equal(s3Config.safeParse({ ...given, unknown: 1 }).success, false);
});

test("MinIO's refusal of a put beside the delete that empties its folder may pass; others' do not", () => {
  const refusalOf = (vendor: Vendor, operation: "put" | "get") =>
    classifyAnswer({
      operation,
      status: 403,
      document: {
        code: "AccessDenied",
        message: undefined,
        region: undefined,
        requestId: undefined,
      },
      dialect: dialectOf(providers[vendor], "s3"),
      createOnly: false,
    }).retryable;
  assert.equal(refusalOf("minio", "put"), true);
  assert.equal(refusalOf("minio", "get"), false);
  assert.equal(refusalOf("ceph-rgw", "put"), false);
});
