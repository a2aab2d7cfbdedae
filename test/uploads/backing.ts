/**
 * The storages that resumable uploads are tried on with other people's clients, behind a real server: a
 * folder, and services of the S3 family. Each tells what lies in it, past the server.
 */
import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import {
  CreateBucketCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  ListPartsCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { cleanUp } from "../harness/cleanup.ts";
import {
  isSwept,
  listBlobFiles,
  listFiles,
  readBlobRows,
  readStoredKeys,
} from "../harness/data-folder.ts";
import { send } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { type ServerOptions, type ServerProcess, startServer } from "../harness/server-process.ts";
import type { Service } from "../storages/service.ts";

export interface Backing {
  readonly server: ServerProcess;
  /**
   * The storage's own unfinished uploads, as far as they hold bytes: one that was begun there when a kill
   * came, before any row could name it, is empty, and the sweeper cancels it after a day.
   */
  readonly pending: () => Promise<readonly string[]>;
  /** Keys of all blobs there, finished uploads' tails and garbage too. */
  readonly blobs: () => Promise<readonly string[]>;
}

/** A server whose bucket `demo` is on such a storage. */
export type OpenBacking = (t: TestContext, options?: ServerOptions) => Promise<Backing>;

/** What is replaced or joined goes at the next sweep. */
const flags = ["--blob-grace", "0 ms", "--trash-keep", "0 s", "--sweeper-interval", "500 ms"];

export const openPosixBacking: OpenBacking = async (t, options = {}) => {
  const server = await startServer(t, { ...options, flags: [...flags, ...(options.flags ?? [])] });
  return {
    server,
    pending: async () => {
      const files = await listFiles(join(server.objectsFolder, ".roma"));
      return files.filter((file) => file.endsWith(".data") || file.startsWith("tmp/"));
    },
    blobs: () => listBlobFiles(server.data),
  };
};

/** `prefix` is that of the service's values, as in CEPH_S3_ENDPOINT. */
export function openS3Backing(given: {
  readonly vendor: string;
  readonly service: Service;
  readonly prefix: string;
}): OpenBacking {
  const value = (key: string): string => given.service.value(`${given.prefix}_${key}`);
  return async (t, options = {}) => {
    const bucket = `roma-${randomUUID()}`;
    const credentials = {
      accessKeyId: value("ACCESS_KEY"),
      secretAccessKey: value("SECRET_KEY"),
    };
    const at = { endpoint: value("ENDPOINT"), region: value("REGION") };
    // The client writes to what it is given.
    const client = new S3Client({ ...at, credentials: { ...credentials }, forcePathStyle: true });
    cleanUp(t, () => client.destroy());
    await client.send(new CreateBucketCommand({ Bucket: bucket }));
    const server = await startServer(t, {
      ...options,
      flags: [...flags, ...(options.flags ?? [])],
    });
    const settings = { driver: "s3", vendor: given.vendor, ...at, bucket, ...credentials };
    await putJson(server, "/v1/storages/far", settings);
    await putJson(server, "/v1/buckets/demo", { placement: "far" }, "PATCH");
    await eventually("the sweeper knows it", () => isSwept(server.data, "far"));
    return {
      server,
      pending: async () => {
        const page = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
        const withParts: string[] = [];
        for (const { Key = "", UploadId } of page.Uploads ?? []) {
          const list = new ListPartsCommand({ Bucket: bucket, Key, UploadId });
          if (((await client.send(list)).Parts ?? []).length > 0) withParts.push(Key);
        }
        return withParts;
      },
      blobs: async () => {
        const page = await client.send(new ListObjectsV2Command({ Bucket: bucket }));
        assert.notEqual(page.IsTruncated, true, "one page");
        const keys = (page.Contents ?? []).map(({ Key }) => Key ?? "");
        return keys.filter((key) => key.startsWith("b/")).sort();
      },
    };
  };
}

/**
 * No upload is pending at the storage, and after a start, which sweeps, each blob there is one that a row
 * needs.
 */
export async function assertNothingPending({ server, pending, blobs }: Backing): Promise<void> {
  await atRest(async () => {
    assert.deepEqual(await pending(), [], "no upload is pending at the storage");
  });
  await server.stop();
  await server.start();
  await atRest(async () => {
    const garbage = readBlobRows(server.data).filter(({ references }) => references === 0);
    assert.deepEqual(garbage, [], "no garbage is left");
    assert.deepEqual(await blobs(), readStoredKeys(server.data), "the blobs are those of the rows");
  });
}

/** The answer, and the start, may come before what they leave to be removed is gone; within a minute it is. */
async function atRest(judge: () => Promise<void>): Promise<void> {
  const until = performance.now() + 60_000;
  for (;;) {
    try {
      return await judge();
    } catch (error) {
      if (performance.now() > until) throw error;
    }
    await delay(50);
  }
}

async function putJson(
  server: ServerProcess,
  path: string,
  value: unknown,
  method = "PUT",
): Promise<void> {
  const answer = await send(server, method, path, { body: JSON.stringify(value) });
  assert.ok(answer.status < 300, `${answer.status} ${answer.body}`);
}
