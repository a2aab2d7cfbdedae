/** One server over a storage, and every client beside the others on it, each in a bucket of its own. */
import { type TestContext, test } from "node:test";
import {
  DeleteObjectsCommand,
  ListBucketsCommand,
  paginateListObjectsV2,
} from "@aws-sdk/client-s3";
import { requirePrerequisite } from "../prerequisites.ts";
import { assertNothingPending, type OpenBacking } from "../uploads/backing.ts";
import { openAwsSdk } from "./aws-sdk-js/sdk.ts";
import type { Target } from "./client.ts";
import { clients } from "./clients.ts";
import { domain, openTargets } from "./target.ts";

/** All of them together may take longer than a test. */
const timeout = 12 * 60_000;

export function testS3Clients(name: string, open: OpenBacking): void {
  test(`S3 clients, ${name}`, { concurrency: 2, timeout }, async (t) => {
    if (!requirePrerequisite(t, "openssl")) return;
    const backing = await open(t, { flags: ["--s3-port", "0", "--s3-domains", domain] });
    const openBucket = await openTargets(t, backing.server);
    const running = clients.map(({ name, run }) =>
      t.test(name, (t) => run(t, () => openBucket(name))),
    );
    await Promise.all(running);
    await t.test("the storage holds nothing that no object needs", async (t) => {
      await deleteAll(t, await openBucket("last"));
      await assertNothingPending(backing);
    });
  });
}

async function deleteAll(t: TestContext, target: Target): Promise<void> {
  const client = openAwsSdk(t, target);
  const { Buckets = [] } = await client.send(new ListBucketsCommand({}));
  for (const { Name: Bucket = "" } of Buckets) {
    for await (const { Contents = [] } of paginateListObjectsV2({ client }, { Bucket })) {
      if (Contents.length === 0) continue;
      const Objects = Contents.map(({ Key }) => ({ Key }));
      await client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects, Quiet: true } }));
    }
  }
}
