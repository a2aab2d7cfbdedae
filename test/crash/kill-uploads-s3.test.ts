/**
 * A kill before or after any change that a resumable upload makes in a storage of the S3 family: parts,
 * tails, their joining, the completion. What was acknowledged is there, and nothing else stays.
 */
import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { Emulator } from "../../packages/server/src/storage/s3/emulator/testing.ts";
import { cleanUp } from "../harness/cleanup.ts";
import { isSwept, readBlobRows, readUploadRows, readUsage } from "../harness/data-folder.ts";
import { get, send } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { type ServerProcess, startServer } from "../harness/server-process.ts";
import { createTus, deleteTus, offsetOf, patchTus } from "../uploads/tus-wire.ts";
import { taggedBytes } from "./kill-loop.ts";
import { offsetWhenFree } from "./kill-uploads.ts";

/** With parts of 8 MiB: a part and a tail, a second tail, both joined to a part, and a last part. */
const ends = [9_000_000, 14_000_000, 20_000_000];
const length = 20_000_000;

const moments = [
  { name: "before", fault: { hang: true } },
  { name: "after", fault: { loseAnswer: true } },
] as const;

describe("resumable uploads on S3, killed at each change there", { concurrency: 2 }, () => {
  for (const { name, fault } of moments) {
    test(`a kill ${name} each change costs nothing that was acknowledged`, async (t) => {
      const { emulator, server } = await startOnEmulator(t);
      const killedAt: string[] = [];
      for (let count = 1; ; count += 1) {
        const bytes = taggedBytes(`${name}-${count}`, length);
        const key = `upload-${count}`;
        const path = await createTus(server, { length, key });
        const what = killAtChange({ emulator, server }, { count, fault });
        const acknowledged = await appendAll(server, path, bytes);
        emulator.fault = () => undefined;
        if (what() === undefined) {
          assert.equal(acknowledged, length);
          break;
        }
        killedAt.push(what() ?? "");
        await server.exited;
        await server.start();

        const offset = await offsetWhenFree(server, path);
        assert.ok(offset !== undefined && offset >= acknowledged, `${offset}, ${acknowledged}`);
        const rest = await patchTus(server, path, offset, bytes.subarray(offset));
        assert.equal(rest.status, 204, `${rest.body} after a kill ${name} ${what()}`);
        assert.ok((await get(server, key)).body.equals(bytes), `${name} ${what()}`);
        assert.equal((await deleteTus(server, path)).status, 204);
        assert.equal(await offsetOf(server, path), undefined);
        await assertOnlyBlobs({ emulator, server });
      }
      t.diagnostic(`killed ${name}: ${killedAt.join(", ")}`);
      assert.ok(killedAt.length >= 6, killedAt.join(", "));
    });
  }
});

interface Running {
  readonly emulator: Emulator;
  readonly server: ServerProcess;
}

async function startOnEmulator(t: TestContext): Promise<Running> {
  const secretAccessKey = "the-secret-of-a-storage-0123456789";
  const emulator = await new Emulator({ vendor: "minio", secretAccessKey }).listen();
  cleanUp(t, () => emulator[Symbol.asyncDispose]());
  const flags = ["--blob-grace", "0 ms", "--sweeper-interval", "300 ms"];
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
function killAtChange(
  { emulator, server }: Running,
  { count, fault }: { readonly count: number; readonly fault: (typeof moments)[number]["fault"] },
): () => string | undefined {
  let seen = 0;
  let killedAt: string | undefined;
  emulator.fault = ({ method, operation }) => {
    // What the sweeper deletes was recorded as garbage before.
    if ((method !== "PUT" && method !== "POST") || operation === "delete") return undefined;
    seen += 1;
    if (seen !== count) return undefined;
    killedAt = `${count}: ${method} ${operation}`;
    server.expectEnd();
    void server.kill();
    return fault;
  };
  return () => killedAt;
}

/** Sends one piece after the other until one is not answered; up to where they were. */
async function appendAll(server: ServerProcess, path: string, bytes: Buffer): Promise<number> {
  let offset = 0;
  for (const end of ends) {
    const answer = await patchTus(server, path, offset, bytes.subarray(offset, end)).catch(
      () => undefined,
    );
    if (answer === undefined) return offset;
    assert.equal(answer.status, 204, answer.body.toString());
    offset = end;
  }
  return offset;
}

/** The blobs there are those of objects; no upload is pending that has a part. */
async function assertOnlyBlobs({ emulator, server }: Running): Promise<void> {
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
