/** The AWS command line, version 1. */
import { strict as assert } from "node:assert";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { requirePrerequisite } from "../prerequisites.ts";
import { pythonEnvironment } from "./boto3.ts";
import { awkwardKey, type S3ClientTests, type Target } from "./client.ts";
import { type ProgramOptions, refused, run, sha256, sha256OfFile } from "./programs.ts";

const MiB = 1024 * 1024;

interface Aws {
  readonly target: Target;
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
  "cp: up in parts, down, over https, and from a pipe": async ({ aws, target }) => {
    const { bucket, large, small, folder, secureEndpoint, certificate } = target;
    await aws(["s3", "cp", large.path, `s3://${bucket}/large`, "--metadata", "name=value"]);
    const head = JSON.parse(
      String(await aws(["s3api", "head-object", "--bucket", bucket, "--key", "large"])),
    );
    assert.match(head.ETag, /^"[0-9a-f]{32}-4"$/);
    assert.deepEqual(head.Metadata, { name: "value" });
    await aws(["s3", "cp", `s3://${bucket}/large`, "got"]);
    assert.equal(await sha256OfFile(join(folder, "got")), large.sha256);
    const secure = ["--endpoint-url", secureEndpoint, "--ca-bundle", certificate];
    await aws([...secure, "s3", "cp", large.path, `s3://${bucket}/secure`]);
    await aws([...secure, "s3", "cp", `s3://${bucket}/secure`, "got"]);
    assert.equal(await sha256OfFile(join(folder, "got")), large.sha256);
    await aws(["s3", "cp", "-", `s3://${bucket}/${awkwardKey}`], { input: small.path });
    const piped = await aws(["s3", "cp", `s3://${bucket}/${awkwardKey}`, "-"]);
    assert.equal(sha256(piped), small.sha256);
  },

  "cp and mv within, in parts too": async ({ aws, target: { bucket, large } }) => {
    await aws(["s3", "cp", large.path, `s3://${bucket}/one`]);
    await aws(["s3", "cp", `s3://${bucket}/one`, `s3://${bucket}/two`]);
    await aws(["s3", "mv", `s3://${bucket}/two`, `s3://${bucket}/three`]);
    assert.equal(sha256(await aws(["s3", "cp", `s3://${bucket}/three`, "-"])), large.sha256);
  },

  "sync: up, nothing to do, down, and deleting": async ({ aws, target }) => {
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
      const [sent, got] = [
        await readFile(join(tree, name)),
        await readFile(join(folder, "back", name)),
      ];
      assert.ok(sent.equals(got), name);
    }
    await writeFile(join(tree, "a"), "shorter");
    await mkdir(join(folder, "fewer"));
    await writeFile(join(folder, "fewer/a"), "shorter");
    await aws(["s3", "sync", "fewer", `s3://${bucket}/tree`, "--delete"]);
    const left = String(await aws(["s3", "ls", `s3://${bucket}/tree/`, "--recursive"]));
    assert.match(left, /^\S+ \S+ +7 tree\/a\n$/);
  },

  "ls: more than a page, in order and by folders": async ({ aws, target: { many } }) => {
    const all = String(await aws(["s3", "ls", `s3://${many.bucket}`, "--recursive"]));
    const keys = all
      .trimEnd()
      .split("\n")
      .map((line) => line.split(/ +/)[3]);
    assert.deepEqual(keys, many.keys);
    const top = String(await aws(["s3", "ls", `s3://${many.bucket}`, "--page-size", "100"]));
    assert.equal(top.trimEnd().split("\n").length, many.keys.length / 2 + 1);
    assert.match(top, /^ +PRE folder\/\n/);
  },

  "s3api: ranges, checksums, conditions, tags, a page": async ({ aws, awsRefused, target }) => {
    const { bucket, small, large, many } = target;
    const at = ["--bucket", bucket, "--key", "api"];
    const put = ["s3api", "put-object", ...at, "--body", small.path];
    const answer = JSON.parse(String(await aws([...put, "--checksum-algorithm", "SHA256"])));
    assert.equal(answer.ChecksumSHA256, Buffer.from(small.sha256, "hex").toString("base64"));
    await awsRefused([...put, "--if-none-match", "*"], /PreconditionFailed/);
    // It asks five times, with pauses, unless told otherwise.
    const wrong = [...put, "--checksum-sha256", `${"A".repeat(43)}=`];
    await awsRefused(wrong, /BadDigest/, { AWS_MAX_ATTEMPTS: "1" });
    const range = ["--range", "bytes=1000-1999"];
    await aws(["s3api", "get-object", ...at, ...range, "range"]);
    const bytes = await readFile(small.path);
    assert.deepEqual(await readFile(join(target.folder, "range")), bytes.subarray(1000, 2000));
    const tagging = "TagSet=[{Key=name,Value=some value}]";
    await aws(["s3api", "put-object-tagging", ...at, "--tagging", tagging]);
    const tags = JSON.parse(String(await aws(["s3api", "get-object-tagging", ...at])));
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

  "presign: a URL of version 4": async ({ aws, target: { bucket, small, folder } }) => {
    await aws(["s3", "cp", small.path, `s3://${bucket}/${awkwardKey}`]);
    await aws(["configure", "set", "default.s3.signature_version", "s3v4"]);
    const url = String(await aws(["s3", "presign", `s3://${bucket}/${awkwardKey}`])).trim();
    assert.match(url, /X-Amz-Algorithm=AWS4-HMAC-SHA256/);
    const got = await fetch(url);
    assert.equal(got.status, 200);
    assert.equal(sha256(await got.bytes()), small.sha256);
    assert.equal((await fetch(url.replace("3600", "7200"))).status, 403);
    await writeFile(join(folder, "home/.aws/config"), "");
  },

  "rm and rb: one, all of a prefix, a bucket with what it holds": async (given) => {
    const { aws, awsRefused, target } = given;
    const { small } = target;
    const made = "s3://aws-cli-made";
    await aws(["s3", "mb", made]);
    for (const key of ["one", "sub/two", "sub/three"]) {
      await aws(["s3", "cp", small.path, `${made}/${key}`]);
    }
    await aws(["s3", "rm", `${made}/one`]);
    await aws(["s3", "rm", `${made}/sub/`, "--recursive", "--exclude", "*three"]);
    assert.match(String(await aws(["s3", "ls", made, "--recursive"])), /^[^\n]* sub\/three\n$/);
    await awsRefused(["s3", "rb", made], /BucketNotEmpty/);
    await aws(["s3", "rb", made, "--force"]);
    await awsRefused(["s3", "ls", made], /NoSuchBucket/);
  },

  "is told what is wrong": async ({ awsRefused, target: { bucket, small } }) => {
    await awsRefused(["s3", "cp", `s3://${bucket}/none`, "none"], /404/);
    const api = ["s3api", "get-object", "--bucket", bucket, "--key", "none", "none"];
    await awsRefused(api, /NoSuchKey/);
    await awsRefused(["s3", "cp", small.path, "s3://no-such-bucket/k"], /NoSuchBucket/);
    const put = ["s3", "cp", small.path, `s3://${bucket}/stranger`];
    await awsRefused(put, /SignatureDoesNotMatch/, { AWS_SECRET_ACCESS_KEY: "another" });
    await awsRefused(["s3", "cp", `s3://${bucket}/stranger`, "none"], /404/);
  },
};
