/**
 * For the kill tests on a storage of the S3 family: a server on an emulated one, killed at a call of its
 * choice, and what must be left in the end.
 */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { Emulator } from "../../packages/server/src/storage/s3/emulator/testing.ts";
import { cleanUp } from "../harness/cleanup.ts";
import { isSwept, readBlobRows, readUploadRows, readUsage } from "../harness/data-folder.ts";
import { send } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { type ServerProcess, startServer } from "../harness/server-process.ts";

export const moments = [
  { name: "before", fault: { hang: true } },
  { name: "after", fault: { loseAnswer: true } },
] as const;

export interface Running {
  readonly emulator: Emulator;
  readonly server: ServerProcess;
}

export async function startOnEmulator(t: TestContext): Promise<Running> {
  const secretAccessKey = "the-secret-of-a-storage-0123456789";
  const emulator = await new Emulator({ vendor: "minio", secretAccessKey }).listen();
  cleanUp(t, () => emulator[Symbol.asyncDispose]());
  const flags = ["--blob-grace", "0 ms", "--trash-keep", "0 s", "--sweeper-interval", "300 ms"];
  const server = await startServer(t, { flags });
  const { endpoint, region, bucket } = emulator;
  const at = { endpoint: endpoint.replace("storage.test", "127.0.0.1"), region, bucket };
  const { accessKeyId } = emulator.key;
  const settings = { driver: "s3", vendor: "minio", ...at, accessKeyId, secretAccessKey };
  for (const [method, path, value] of [
    ["PUT", "/v1/storages/far", settings],
    ["PATCH", "/v1/buckets/demo", { placement: "far" }],
  ] as const) {
    const answer = await send(server, method, path, { body: JSON.stringify(value) });
    assert.ok(answer.status < 300, answer.body.toString());
  }
  await eventually("the sweeper knows it", () => isSwept(server.data, "far"));
  return { emulator, server };
}

/** Arms the storage; answers at which change the kill came, if it came. */
export function killAtChange(
  { emulator, server }: Running,
  {
    count,
    fault,
    methods = /PUT|POST/,
  }: {
    readonly count: number;
    readonly fault: (typeof moments)[number]["fault"];
    readonly methods?: RegExp;
  },
): () => string | undefined {
  let seen = 0;
  let killedAt: string | undefined;
  emulator.fault = ({ method, operation }) => {
    // The sweeper's: what it deletes was recorded as garbage before, and only it lists the bucket.
    if (!methods.test(method) || operation === "delete" || operation === "bucket") return undefined;
    seen += 1;
    if (seen !== count) return undefined;
    killedAt = `${count}: ${method} ${operation}`;
    server.expectEnd();
    void server.kill();
    return fault;
  };
  return () => killedAt;
}

/** The blobs there are those of objects; no upload is pending that has a part. */
export async function assertOnlyBlobs({ emulator, server }: Running): Promise<void> {
  await eventually("nothing but objects is left", () => {
    const rows = readBlobRows(server.data);
    const needed = rows.filter(({ references }) => references > 0).map(({ key }) => key);
    const stored = [...emulator.objects.keys()].filter((key) => key.startsWith("b/")).sort();
    return rows.length === needed.length && needed.join() === stored.join();
  }).catch((cause: unknown) => {
    const stored = [...emulator.objects.keys()];
    throw new Error(`${JSON.stringify(readBlobRows(server.data))} ${stored.join()}`, { cause });
  });
  for (const [id, { parts }] of emulator.uploads) {
    // One whose name no row got before the kill: the sweeper cancels it after a day.
    assert.equal(parts.size, 0, "no parts are left pending");
    emulator.uploads.delete(id);
  }
  assert.deepEqual(readUploadRows(server.data), []);
  assert.equal(readUsage(server.data)[0]?.reservedBytes, 0, "nothing is reserved");
}
