/** What all clients of a run share: the server's addresses, many objects, and files to upload. */
import { strict as assert } from "node:assert";
import { mkdir } from "node:fs/promises";
import { Agent } from "node:http";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { type Answer, send } from "../harness/http-client.ts";
import { rootKey, type ServerProcess, temporaryFolder } from "../harness/server-process.ts";
import { randomFile } from "../uploads/stored-bytes.ts";
import type { ManyObjects, Target } from "./client.ts";
import { startSecureFront } from "./secure-front.ts";

const MiB = 1024 * 1024;
const manyCount = 1_100;
const putsAtOnce = 8;

/** A host name under which a bucket is a label; no resolver knows it. */
export const domain = "s3.test";

/** `bucket` is made; its name is the folder's too. */
export type OpenBucket = (bucket: string) => Promise<Target>;

export async function openTargets(t: TestContext, server: ServerProcess): Promise<OpenBucket> {
  const folder = await temporaryFolder(t);
  const secure = await startSecureFront(t, { upstream: server.s3Url, folder });
  const separator = rootKey.indexOf(":");
  const shared: Omit<Target, "bucket" | "folder"> = {
    endpoint: `${server.url}/s3`,
    rootEndpoint: server.s3Url,
    secureEndpoint: secure.url,
    virtualEndpoint: server.s3Url.replace("127.0.0.1", domain),
    certificate: secure.certificate,
    accessKeyId: rootKey.slice(0, separator),
    secretAccessKey: rootKey.slice(separator + 1),
    region: "us-east-1",
    many: await putMany(server),
    large: await randomFile(t, 24 * MiB + 1),
    small: await randomFile(t, 70_001),
  };
  return async (bucket) => {
    const own = join(folder, bucket);
    await mkdir(own);
    assertDone(await send(server, "PUT", `/v1/buckets/${bucket}`, { body: "{}" }));
    return { ...shared, bucket, folder: own };
  };
}

async function putMany(server: ServerProcess): Promise<ManyObjects> {
  const bucket = "many";
  assertDone(await send(server, "PUT", `/v1/buckets/${bucket}`, { body: "{}" }));
  const keys = Array.from({ length: manyCount }, (_, index) => {
    const name = `key-${String(index).padStart(4, "0")}`;
    return index < manyCount / 2 ? `folder/${name}` : name;
  });
  const left = keys.values();
  const agent = new Agent({ keepAlive: true });
  const worker = async () => {
    for (const key of left) {
      assertDone(await send(server, "PUT", `/v1/objects/${bucket}/${key}`, { body: key, agent }));
    }
  };
  await Promise.all(Array.from({ length: putsAtOnce }, worker));
  agent.destroy();
  return { bucket, keys };
}

function assertDone(answer: Answer): void {
  assert.ok(answer.status < 300, `${answer.status} ${answer.body}`);
}
