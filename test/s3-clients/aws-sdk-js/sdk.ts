/** The AWS SDK for JavaScript, version 3, as its documentation shows it: nothing is set that need not be. */
import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import type { TestContext } from "node:test";
import {
  GetObjectCommand,
  type GetObjectCommandInput,
  S3Client,
  type S3ClientConfig,
} from "@aws-sdk/client-s3";
import { cleanUp } from "../../harness/cleanup.ts";
import type { Target } from "../client.ts";

/** Closed with the test. */
export function openAwsSdk(t: TestContext, target: Target, options: S3ClientConfig = {}): S3Client {
  const client = new S3Client({
    endpoint: target.endpoint,
    region: target.region,
    credentials: {
      accessKeyId: target.accessKeyId,
      secretAccessKey: target.secretAccessKey,
    },
    forcePathStyle: true,
    ...options,
  });
  cleanUp(t, () => client.destroy());
  return client;
}

/** The SHA-256 of a whole object, or of what `more` asks of it. */
export async function sha256Got(
  client: S3Client,
  target: Target,
  Key: string,
  more: Partial<GetObjectCommandInput> = {},
): Promise<string> {
  const { Body } = await client.send(new GetObjectCommand({ Bucket: target.bucket, Key, ...more }));
  assert.ok(Body !== undefined);
  return sha256Of(Body.transformToWebStream());
}

async function sha256Of(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of chunks) hash.update(chunk);
  return hash.digest("hex");
}

export interface CaseTarget {
  readonly client: S3Client;
  readonly target: Target;
}

/** Cases of a name each. */
export type AwsSdkCases = Readonly<
  Record<string, (t: TestContext, given: CaseTarget) => Promise<void>>
>;
