/** Uploads in parts of the AWS SDK for JavaScript: lib-storage, and single calls where it has none. */
import { strict as assert } from "node:assert";
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import {
  AbortMultipartUploadCommand,
  type ChecksumAlgorithm,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectAttributesCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { eventually } from "../../harness/process-usage.ts";
import { sha256 } from "../programs.ts";
import { type AwsSdkCases, sha256Got } from "./sdk.ts";

const MiB = 1024 * 1024;

export const multipartCases: AwsSdkCases = {
  "lib-storage uploads a stream in parts, with each checksum": async (_t, { client, target }) => {
    const { bucket: Bucket, large } = target;
    const algorithms = [undefined, "SHA256", "CRC32C", "CRC64NVME"];
    for (const algorithm of algorithms as (ChecksumAlgorithm | undefined)[]) {
      const Key = `parts/${algorithm}`;
      const Body = createReadStream(large.path);
      const params = { Bucket, Key, Body, ...(algorithm && { ChecksumAlgorithm: algorithm }) };
      const done = await new Upload({ client, params }).done();
      assert.match(done.ETag ?? "", /^"[0-9a-f]{32}-5"$/);
      assert.equal(await sha256Got(client, target, Key), large.sha256);
      const asked = { Bucket, Key, ChecksumMode: "ENABLED" } as const;
      const { ChecksumType } = await client.send(new HeadObjectCommand(asked));
      const isWhole = algorithm === "CRC64NVME";
      assert.equal(ChecksumType, isWhole ? "FULL_OBJECT" : "COMPOSITE");
    }
  },

  "reads an object's parts and its attributes": async (_t, { client, target }) => {
    const { bucket: Bucket, large } = target;
    const Key = "parts/read";
    const bytes = await readFile(large.path);
    await new Upload({ client, params: { Bucket, Key, Body: bytes } }).done();
    const second = await sha256Got(client, target, Key, { PartNumber: 2 });
    assert.equal(second, sha256(bytes.subarray(5 * MiB, 10 * MiB)));
    const last = new GetObjectCommand({ Bucket, Key, PartNumber: 5 });
    const { Body, PartsCount } = await client.send(last);
    assert.equal(PartsCount, 5);
    assert.deepEqual(
      Buffer.from((await Body?.transformToByteArray()) ?? []),
      bytes.subarray(20 * MiB),
    );
    const across = await sha256Got(client, target, Key, { Range: "bytes=5242870-10485770" });
    assert.equal(across, sha256(bytes.subarray(5_242_870, 10_485_771)));
    const attributes = await client.send(
      new GetObjectAttributesCommand({
        ...{ Bucket, Key },
        ObjectAttributes: ["ETag", "Checksum", "ObjectParts", "ObjectSize"],
      }),
    );
    assert.equal(attributes.ObjectSize, large.length);
    assert.equal(attributes.ObjectParts?.TotalPartsCount, 5);
    assert.ok(attributes.Checksum?.ChecksumCRC32 !== undefined);
  },

  "an upload that is aborted leaves no parts": async (_t, { client, target }) => {
    const { bucket: Bucket, large } = target;
    const Key = "parts/aborted";
    const upload = new Upload({
      client,
      params: { Bucket, Key, Body: createReadStream(large.path) },
      queueSize: 1,
    });
    upload.on("httpUploadProgress", () => void upload.abort());
    await assert.rejects(upload.done(), { name: "AbortError" });
    // The SDK does not wait for the server's answer to the abort.
    await eventually("the upload is gone", async () => {
      const { Uploads } = await client.send(new ListMultipartUploadsCommand({ Bucket }));
      return Uploads === undefined;
    });
    await assert.rejects(client.send(new GetObjectCommand({ Bucket, Key })), {
      name: "NoSuchKey",
    });
  },

  "single calls: parts in any order, one again, and parts copied from an object": async (
    _t,
    { client, target },
  ) => {
    const { bucket: Bucket, large } = target;
    const bytes = await readFile(large.path);
    await new Upload({ client, params: { Bucket, Key: "parts/source", Body: bytes } }).done();
    const Key = "parts/single";
    const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key }));
    const at = { Bucket, Key, UploadId };
    const put = async (PartNumber: number, Body: Uint8Array) => {
      const { ETag } = await client.send(new UploadPartCommand({ ...at, PartNumber, Body }));
      return { PartNumber, ETag };
    };
    const fourth = await put(4, bytes.subarray(0, 100));
    await put(2, bytes.subarray(0, 1000));
    const second = await put(2, bytes.subarray(0, 5 * MiB));
    const copied = await client.send(
      new UploadPartCopyCommand({
        ...{ ...at, PartNumber: 3, CopySource: `${Bucket}/parts/source` },
        CopySourceRange: `bytes=${6 * MiB}-${12 * MiB - 1}`,
      }),
    );
    const third = { PartNumber: 3, ETag: copied.CopyPartResult?.ETag };
    const { Parts } = await client.send(new ListPartsCommand(at));
    assert.deepEqual(
      Parts?.map(({ PartNumber, Size }) => [PartNumber, Size]),
      [
        [2, 5 * MiB],
        [3, 6 * MiB],
        [4, 100],
      ],
    );
    const complete = (Parts: readonly object[]) =>
      client.send(
        new CompleteMultipartUploadCommand({ ...at, MultipartUpload: { Parts: [...Parts] } }),
      );
    await assert.rejects(complete([third, second, fourth]), { name: "InvalidPartOrder" });
    const unknown = { PartNumber: 9, ETag: `"${"0".repeat(32)}"` };
    await assert.rejects(complete([second, unknown]), { name: "InvalidPart" });
    const done = await complete([second, third, fourth]);
    assert.match(done.ETag ?? "", /-3"$/);
    const expected = [bytes.subarray(0, 5 * MiB), bytes.subarray(6 * MiB, 12 * MiB)];
    const whole = Buffer.concat([...expected, bytes.subarray(0, 100)]);
    assert.equal(await sha256Got(client, target, Key), sha256(whole));
    await assert.rejects(client.send(new AbortMultipartUploadCommand(at)), {
      name: "NoSuchUpload",
    });
  },
};
