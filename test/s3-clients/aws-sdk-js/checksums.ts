/** Checksums of the AWS SDK for JavaScript: those it can make, in header and trailer, and wrong ones. */
import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { crc32 } from "node:zlib";
import {
  type ChecksumAlgorithm,
  GetObjectCommand,
  HeadObjectCommand,
  type HeadObjectCommandOutput,
  PutObjectCommand,
} from "@aws-sdk/client-s3";
import { type AwsSdkCases, sha256Got } from "./sdk.ts";

type Field = keyof HeadObjectCommandOutput & `Checksum${string}`;

/** With what Node makes of bytes apart from the SDK, where it can. */
const algorithms: Readonly<
  Record<string, { readonly field: Field; readonly expected?: (bytes: Buffer) => Buffer }>
> = {
  CRC32: {
    field: "ChecksumCRC32",
    expected: (bytes) => {
      const value = Buffer.alloc(4);
      value.writeUInt32BE(crc32(bytes));
      return value;
    },
  },
  CRC32C: { field: "ChecksumCRC32C" },
  CRC64NVME: { field: "ChecksumCRC64NVME" },
  SHA1: {
    field: "ChecksumSHA1",
    expected: (bytes) => createHash("sha1").update(bytes).digest(),
  },
  SHA256: {
    field: "ChecksumSHA256",
    expected: (bytes) => createHash("sha256").update(bytes).digest(),
  },
};

export const checksumCases: AwsSdkCases = {
  "sends and verifies each checksum, in headers and trailers": async (_t, { client, target }) => {
    const { bucket: Bucket, small } = target;
    const bytes = await readFile(small.path);
    for (const [name, { field, expected }] of Object.entries(algorithms)) {
      const ChecksumAlgorithm = name as ChecksumAlgorithm;
      const values = new Set<unknown>();
      for (const Body of [bytes, createReadStream(small.path)]) {
        const Key = `checksum/${name}`;
        const put = await client.send(
          new PutObjectCommand({ Bucket, Key, Body, ChecksumAlgorithm }),
        );
        const asked = { Bucket, Key, ChecksumMode: "ENABLED" } as const;
        const head = await client.send(new HeadObjectCommand(asked));
        assert.equal(head.ChecksumType, "FULL_OBJECT");
        values.add(put[field]).add(head[field]);
        assert.equal(await sha256Got(client, target, Key), small.sha256);
      }
      if (expected !== undefined) values.add(expected(bytes).toString("base64"));
      assert.equal(values.size, 1, `${name}: ${[...values]}`);
    }
  },

  "is refused a wrong checksum, and nothing is stored": async (_t, { client, target }) => {
    const { bucket: Bucket } = target;
    const Key = "checksum/wrong";
    const wrong = [
      { ChecksumCRC32: "AAAAAA==" },
      { ChecksumSHA256: createHash("sha256").update("other").digest("base64") },
      { ContentMD5: createHash("md5").update("other").digest("base64") },
    ];
    for (const more of wrong) {
      const put = client.send(new PutObjectCommand({ Bucket, Key, Body: "bytes", ...more }));
      await assert.rejects(put, { name: "BadDigest" });
    }
    await assert.rejects(client.send(new GetObjectCommand({ Bucket, Key })), {
      name: "NoSuchKey",
    });
  },
};
