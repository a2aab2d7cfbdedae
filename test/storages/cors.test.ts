// `roma storage cors` on real servers of the S3 family: a gateway that keeps rules of a bucket, one that does
// not, and a folder, which nobody sends anything to.
import assert from "node:assert/strict";
import { PassThrough, Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { GetBucketCorsCommand, PutBucketCorsCommand, S3Client } from "@aws-sdk/client-s3";
import { runCommandLine } from "../../packages/cli/src/program.ts";
import { send } from "../harness/http-client.ts";
import { rootKey, type ServerProcess, startServer } from "../harness/server-process.ts";
import { describeWhere } from "../prerequisites.ts";
import { openS3Backing } from "../uploads/backing.ts";
import { type Service, useService } from "./service.ts";

const app = "https://app.example";
const other = "https://other.example";

async function cors(server: ServerProcess, ...args: readonly string[]) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const texts = Promise.all([text(stdout), text(stderr)]);
  const exitCode = await runCommandLine(["storage", "cors", ...args], {
    ...{ stdin: Readable.from([]), stdout, stderr, cwd: process.cwd() },
    env: { ROMA_ENDPOINT: server.url, ROMA_KEY: rootKey.replace(":", ".") },
    signal: new AbortController().signal,
  });
  stdout.end();
  stderr.end();
  const [out, err] = await texts;
  return { exitCode, out, err };
}

/** Somebody else's client on the bucket of the storage `far`. */
async function bucketOf(server: ServerProcess, service: Service, prefix: string) {
  const value = (key: string) => service.value(`${prefix}_${key}`);
  const { bucket } = JSON.parse((await send(server, "GET", "/v1/storages/far")).body.toString());
  const client = new S3Client({
    endpoint: value("ENDPOINT"),
    region: value("REGION"),
    credentials: { accessKeyId: value("ACCESS_KEY"), secretAccessKey: value("SECRET_KEY") },
    forcePathStyle: true,
  });
  return { client, Bucket: String(bucket) };
}

describeWhere(["ceph"], "CORS of a bucket on Ceph RGW", () => {
  const service = useService("ceph", { CEPH_PARTS: "rgw" });
  const open = openS3Backing({ vendor: "ceph-rgw", service, prefix: "CEPH_S3" });

  test("is seen, set, checked and taken away; rules of others stay", async (t) => {
    const { server, pending } = await open(t);
    const { client, Bucket } = await bucketOf(server, service, "CEPH_S3");
    t.after(() => client.destroy());
    const none = await cors(server, "far");
    assert.deepEqual([none.exitCode, none.out], [0, "the bucket has no rules\n"], none.err);
    const refused = await cors(server, "far", "--check", "--origin", app);
    assert.equal(refused.exitCode, 1, refused.out);
    assert.match(refused.out, /^https:\/\/app\.example +the preflight was answered 403/m);

    // Without ETag exposed, and for everybody: it would stand in the way of a rule behind it.
    const theirs = { ID: "theirs", AllowedOrigins: ["*"], AllowedMethods: ["GET", "PUT"] };
    const rules = { CORSRules: [{ ...theirs, AllowedHeaders: ["*"] }] };
    await client.send(new PutBucketCorsCommand({ Bucket, CORSConfiguration: rules }));
    const hidden = await cors(server, "far", "--check", "--origin", app);
    assert.match(hidden.out, /ETag is not in Access-Control-Expose-Headers/);

    const set = await cors(
      server,
      "far",
      "--set",
      "--origin",
      app,
      "--origin",
      "https://*.b.example",
    );
    assert.equal(set.exitCode, 0, set.err);
    assert.match(set.out, /^roma-direct-uploads +https:\/\/app\.example https:\/\/\*\.b\.example/m);
    assert.match(set.out, /^https:\/\/app\.example +may send$/m);
    assert.match(set.out, /^https:\/\/\*\.b\.example +may send$/m);
    const { CORSRules } = await client.send(new GetBucketCorsCommand({ Bucket }));
    assert.deepEqual(CORSRules?.[1], { ...theirs, AllowedHeaders: ["*"] });
    const both = await cors(server, "far", "--check", "--json", "--origin", app, "--origin", other);
    assert.equal(both.exitCode, 1);
    const seen = JSON.parse(both.out);
    assert.deepEqual(
      seen.origins.map(({ ok }: { readonly ok: boolean }) => ok),
      [true, false],
    );
    assert.match(both.err, /https:\/\/other\.example: ETag is not in/);

    const removed = await cors(server, "far", "--remove");
    assert.equal(removed.exitCode, 0, removed.err);
    assert.doesNotMatch(removed.out, /roma-direct-uploads/);
    assert.match(removed.out, /^theirs +\*/m);
    assert.deepEqual(await pending(), [], "nothing was begun");
  });
});

describeWhere(["minio"], "CORS of a bucket on MinIO", () => {
  const service = useService("minio");
  const open = openS3Backing({ vendor: "minio", service, prefix: "MINIO_S3" });

  test("pages of any origin may send; rules are the cluster's, and said to be", async (t) => {
    const { server } = await open(t);
    const checked = await cors(server, "far", "--check", "--origin", app);
    assert.equal(checked.exitCode, 0, checked.err);
    assert.match(checked.out, /^the bucket has no rules$/m);
    assert.match(checked.out, /^https:\/\/app\.example +may send$/m);
    assert.match(checked.err, /cors_allow_origin .* for the whole cluster/);
    for (const args of [["--set", "--origin", app], ["--remove"]]) {
      const set = await cors(server, "far", ...args);
      assert.notEqual(set.exitCode, 0);
      assert.match(set.err, /MinIO answered NotImplemented .* cors_allow_origin/);
    }
  });
});

test("CORS of a folder is said to be this server's own; flags that exclude one another are refused", async (t) => {
  const server = await startServer(t);
  const refused = await cors(server, "local", "--check", "--origin", app);
  assert.notEqual(refused.exitCode, 0);
  assert.match(refused.err, /no request of a page goes to it, this server answers/);
  for (const args of [
    ["--set"],
    ["--check"],
    ["--remove", "--origin", app],
    ["--set", "--check"],
  ]) {
    assert.equal((await cors(server, "local", ...args)).exitCode, 2, args.join(" "));
  }
  const wrong = await cors(server, "none");
  assert.equal(wrong.exitCode, 4, wrong.err);
});
