/** The AWS command line, version 1. What it has done is looked at by the AWS SDK, which starts no process. */
import { strict as assert } from "node:assert";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  GetObjectTaggingCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
} from "@aws-sdk/client-s3";
import { requirePrerequisite } from "../prerequisites.ts";
import { openAwsSdk, sha256Got } from "./aws-sdk-js/sdk.ts";
import { pythonEnvironment } from "./boto3.ts";
import { awkwardKey, type S3ClientTests, type Target } from "./client.ts";
import { type ProgramOptions, refused, run, sha256, sha256OfFile } from "./programs.ts";

const MiB = 1024 * 1024;

interface Aws {
  readonly target: Target;
  readonly sdk: S3Client;
  /** What it printed; must succeed. */
  readonly aws: (args: readonly string[], more?: Partial<ProgramOptions>) => Promise<Buffer>;
  readonly awsRefused: (args: readonly string[], says: RegExp, more?: object) => Promise<void>;
}

export const awsCli: S3ClientTests = {
  name: "aws-cli",
  run: async (t, open) => {
    if (!requirePrerequisite(t, "python-clients")) return;
    const target = await open();
    const program = join(pythonEnvironment(), "bin/aws");
    const environment = environmentOf(target);
    const { folder } = target;
    const given: Aws = {
      target,
      sdk: openAwsSdk(t, target),
      aws: (args, more = {}) => run(program, args, { folder, environment, ...more }),
      awsRefused: (args, says, more = {}) =>
        refused(program, args, { folder, environment: { ...environment, ...more }, says }),
    };
    for (const [name, act] of Object.entries(cases)) await t.test(name, () => act(given));
  },
};

function environmentOf(target: Target): Readonly<Record<string, string>> {
  return {
    AWS_ACCESS_KEY_ID: target.accessKeyId,
    AWS_SECRET_ACCESS_KEY: target.secretAccessKey,
    AWS_DEFAULT_REGION: target.region,
    AWS_ENDPOINT_URL: target.endpoint,
  };
}

const cases: Readonly<Record<string, (given: Aws) => Promise<void>>> = {
  "cp and mv: up in parts, down, by pipes over https, and within": async (given) => {
    const { aws, sdk, target } = given;
    const { bucket, large, folder, secureEndpoint, certificate } = target;
    await aws(["s3", "cp", large.path, `s3://${bucket}/large`, "--metadata", "name=value"]);
    const head = await sdk.send(new HeadObjectCommand({ Bucket: bucket, Key: "large" }));
    assert.match(head.ETag ?? "", /^"[0-9a-f]{32}-4"$/);
    assert.deepEqual(head.Metadata, { name: "value" });
    await aws(["s3", "cp", `s3://${bucket}/large`, "got"]);
    assert.equal(await sha256OfFile(join(folder, "got")), large.sha256);
    const secure = ["--endpoint-url", secureEndpoint, "--ca-bundle", certificate, "s3", "cp"];
    await aws([...secure, "-", `s3://${bucket}/${awkwardKey}`], { input: large.path });
    const piped = await aws([...secure, `s3://${bucket}/${awkwardKey}`, "-"]);
    assert.equal(sha256(piped), large.sha256);
    await aws(["s3", "cp", `s3://${bucket}/large`, `s3://${bucket}/copied`]);
    await aws(["s3", "mv", `s3://${bucket}/copied`, `s3://${bucket}/moved`]);
    assert.equal(await sha256Got(sdk, target, "moved"), large.sha256);
    await assert.rejects(sha256Got(sdk, target, "copied"), { name: "NoSuchKey" });
  },

  "sync: up, nothing to do, down, and deleting": async ({ aws, sdk, target }) => {
    const { bucket, small, folder } = target;
    const tree = join(folder, "tree");
    const names = ["a", "b c+d.txt", "sub/é ü%&", "sub/deeper/empty"];
    await mkdir(join(tree, "sub/deeper"), { recursive: true });
    const bytes = await readFile(small.path);
    for (const [index, name] of names.entries()) {
      await writeFile(join(tree, name), name.endsWith("empty") ? "" : bytes.subarray(index));
    }
    await aws(["s3", "sync", "tree", `s3://${bucket}/tree`]);
    assert.equal(String(await aws(["s3", "sync", "tree", `s3://${bucket}/tree`])), "");
    await aws(["s3", "sync", `s3://${bucket}/tree`, "back"]);
    for (const name of names) {
      const sent = await readFile(join(tree, name));
      assert.ok(sent.equals(await readFile(join(folder, "back", name))), name);
    }
    await mkdir(join(folder, "fewer"));
    await writeFile(join(folder, "fewer/a"), "shorter");
    await aws(["s3", "sync", "fewer", `s3://${bucket}/tree`, "--delete"]);
    const left = new ListObjectsV2Command({ Bucket: bucket, Prefix: "tree/" });
    const { Contents } = await sdk.send(left);
    assert.deepEqual(
      Contents?.map(({ Key, Size }) => [Key, Size]),
      [["tree/a", 7]],
    );
  },

  "ls: more than a page, in order and by folders": async ({ aws, target: { many } }) => {
    const all = String(await aws(["s3", "ls", `s3://${many.bucket}`, "--recursive"]));
    const lines = all.trimEnd().split("\n");
    assert.deepEqual(
      lines.map((line) => line.split(/ +/)[3]),
      many.keys,
    );
    const top = String(await aws(["s3", "ls", `s3://${many.bucket}`, "--page-size", "100"]));
    assert.equal(top.trimEnd().split("\n").length, many.keys.length / 2 + 1);
    assert.match(top, /^ +PRE folder\/\n/);
  },

  "s3api: ranges, checksums, conditions, tags, parts, a page": async (given) => {
    const { aws, awsRefused, sdk, target } = given;
    const { bucket, small, large, many, folder } = target;
    const at = ["--bucket", bucket, "--key", "api"];
    const put = ["s3api", "put-object", ...at, "--body", small.path];
    const answer = JSON.parse(String(await aws([...put, "--checksum-algorithm", "SHA256"])));
    assert.equal(answer.ChecksumSHA256, Buffer.from(small.sha256, "hex").toString("base64"));
    await awsRefused([...put, "--if-none-match", "*"], /PreconditionFailed/);
    // It asks five times, with pauses, unless told otherwise.
    const wrong = [...put, "--checksum-sha256", `${"A".repeat(43)}=`];
    await awsRefused(wrong, /BadDigest/, { AWS_MAX_ATTEMPTS: "1" });
    await aws(["s3api", "get-object", ...at, "--range", "bytes=1000-1999", "range"]);
    const bytes = await readFile(small.path);
    assert.deepEqual(await readFile(join(folder, "range")), bytes.subarray(1000, 2000));
    const tagging = "TagSet=[{Key=name,Value=some value}]";
    await aws(["s3api", "put-object-tagging", ...at, "--tagging", tagging]);
    const tags = await sdk.send(new GetObjectTaggingCommand({ Bucket: bucket, Key: "api" }));
    assert.deepEqual(tags.TagSet, [{ Key: "name", Value: "some value" }]);
    await aws(["s3", "cp", large.path, `s3://${bucket}/api`]);
    const parts = ["--object-attributes", "ObjectSize", "ObjectParts"];
    const attributes = await aws(["s3api", "get-object-attributes", ...at, ...parts]);
    const { ObjectSize, ObjectParts } = JSON.parse(String(attributes));
    assert.deepEqual([ObjectSize, ObjectParts.TotalPartsCount], [24 * MiB + 1, 4]);
    const first = ["s3api", "list-objects-v2", "--bucket", many.bucket, "--max-items", "1"];
    const page = JSON.parse(String(await aws(first)));
    assert.equal(page.Contents[0].Key, many.keys[0]);
  },

  "presign: a URL of version 4": async ({ aws, sdk, target }) => {
    const { bucket, small, folder } = target;
    const Body = await readFile(small.path);
    await sdk.send(new PutObjectCommand({ Bucket: bucket, Key: "signed/v4", Body }));
    const settings = join(folder, "settings");
    await writeFile(settings, "[default]\ns3 =\n  signature_version = s3v4\n");
    const environment = { ...environmentOf(target), AWS_CONFIG_FILE: settings };
    const printed = await aws(["s3", "presign", `s3://${bucket}/signed/v4`], { environment });
    const url = String(printed).trim();
    assert.match(url, /X-Amz-Algorithm=AWS4-HMAC-SHA256/);
    const got = await fetch(url);
    assert.equal(got.status, 200);
    assert.equal(sha256(await got.bytes()), small.sha256);
    assert.equal((await fetch(url.replace("Expires=3600", "Expires=7200"))).status, 403);
  },

  "presign: a URL by default, which is of version 2": async ({ aws, sdk, target }) => {
    const { bucket, small } = target;
    const Body = await readFile(small.path);
    await sdk.send(new PutObjectCommand({ Bucket: bucket, Key: "signed/v2", Body }));
    const url = String(await aws(["s3", "presign", `s3://${bucket}/signed/v2`])).trim();
    assert.match(url, /AWSAccessKeyId=/);
    const got = await fetch(url);
    assert.equal(got.status, 200);
    assert.equal(sha256(await got.bytes()), small.sha256);
    assert.equal((await fetch(url.replace("/v2", "/v4"))).status, 403);
  },

  "rm and rb: one, all of a prefix, a bucket with what it holds": async (given) => {
    const { aws, awsRefused, sdk, target } = given;
    const made = "s3://aws-cli-made";
    await aws(["s3", "mb", made]);
    await mkdir(join(target.folder, "removed/sub"), { recursive: true });
    for (const name of ["one", "sub/two", "sub/three"]) {
      await writeFile(join(target.folder, "removed", name), name);
    }
    await aws(["s3", "cp", "--recursive", "removed", made]);
    await aws(["s3", "rm", `${made}/one`]);
    await aws(["s3", "rm", `${made}/sub/`, "--recursive", "--exclude", "*three"]);
    const { Contents } = await sdk.send(new ListObjectsV2Command({ Bucket: "aws-cli-made" }));
    assert.deepEqual(
      Contents?.map(({ Key }) => Key),
      ["sub/three"],
    );
    await awsRefused(["s3", "rb", made], /BucketNotEmpty/);
    await aws(["s3", "rb", made, "--force"]);
    await awsRefused(["s3", "ls", made], /NoSuchBucket/);
  },

  "is told what is wrong": async ({ awsRefused, sdk, target }) => {
    const { bucket, small } = target;
    await awsRefused(["s3", "cp", `s3://${bucket}/none`, "none"], /404/);
    const api = ["s3api", "get-object", "--bucket", bucket, "--key", "none", "none"];
    await awsRefused(api, /NoSuchKey/);
    await awsRefused(["s3", "cp", small.path, "s3://no-such-bucket/k"], /NoSuchBucket/);
    const put = ["s3", "cp", small.path, `s3://${bucket}/stranger`];
    await awsRefused(put, /SignatureDoesNotMatch/, { AWS_SECRET_ACCESS_KEY: "another" });
    await assert.rejects(sha256Got(sdk, target, "stranger"), { name: "NoSuchKey" });
  },
};
