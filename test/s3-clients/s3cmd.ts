/** s3cmd: on the listener for S3 alone, since it signs no path in its address. */
import { strict as assert } from "node:assert";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { requirePrerequisite } from "../prerequisites.ts";
import { awkwardKey, type S3ClientTests, type Target } from "./client.ts";
import { refused, run, sha256, sha256OfFile } from "./programs.ts";

interface S3cmd {
  readonly target: Target;
  /** What it printed; must succeed, and warn of nothing. */
  readonly s3cmd: (...args: readonly string[]) => Promise<string>;
  readonly s3cmdRefused: (says: RegExp, ...args: readonly string[]) => Promise<void>;
  /** An address of the client's bucket. */
  readonly s3: (key: string) => string;
}

export const s3cmd: S3ClientTests = {
  name: "s3cmd",
  run: async (t, open) => {
    if (!requirePrerequisite(t, "s3cmd")) return;
    const target = await open();
    const { folder } = target;
    await writeFile(join(folder, "settings"), settings(target));
    const with_ = (args: readonly string[]) => ["-c", "settings", "--no-progress", ...args];
    const given: S3cmd = {
      target,
      s3: (key) => `s3://${target.bucket}/${key}`,
      s3cmd: async (...args) => {
        const printed = await run("s3cmd", with_(args), { folder, isSilent: true });
        return printed.toString();
      },
      s3cmdRefused: (says, ...args) => refused("s3cmd", with_(args), { folder, says }),
    };
    for (const [name, act] of Object.entries(cases)) await t.test(name, () => act(given));
  },
};

function settings({ rootEndpoint, accessKeyId, secretAccessKey }: Target): string {
  const { host } = new URL(rootEndpoint);
  return [
    "[default]",
    `access_key = ${accessKeyId}`,
    `secret_key = ${secretAccessKey}`,
    `host_base = ${host}`,
    `host_bucket = ${host}`,
    "use_https = False",
    "",
  ].join("\n");
}

const cases: Readonly<Record<string, (given: S3cmd) => Promise<void>>> = {
  "put and get, in parts, from an offset, and what it tells of them": async (given) => {
    const { s3cmd, s3, target } = given;
    const { large, small, folder } = target;
    await s3cmd("put", large.path, s3("large"), "--add-header=x-amz-meta-name:value");
    await s3cmd("get", s3("large"), "got");
    assert.equal(await sha256OfFile(join(folder, "got")), large.sha256);
    // It goes on with what is there.
    const bytes = await readFile(large.path);
    await writeFile(join(folder, "got"), bytes.subarray(0, 9_000_000));
    await s3cmd("get", "--continue", s3("large"), "got");
    assert.equal(await sha256OfFile(join(folder, "got")), large.sha256);
    const info = await s3cmd("info", s3("large"));
    assert.match(info, /x-amz-meta-name: value/);
    assert.match(info, /ACL: +\S+: FULL_CONTROL/);
    assert.match(await s3cmd("info", `s3://${target.bucket}`), /Location: +us-east-1/);
    await s3cmd("put", small.path, s3(awkwardKey));
    await s3cmd("get", s3(awkwardKey), "got-small");
    assert.equal(await sha256OfFile(join(folder, "got-small")), small.sha256);
    await s3cmd("put", "--multipart-chunk-size-mb=5", large.path, s3("large"));
    await s3cmd("get", "--force", s3("large"), "got");
    assert.equal(await sha256OfFile(join(folder, "got")), large.sha256);
    assert.doesNotMatch(await s3cmd("multipart", `s3://${target.bucket}`), /large/);
  },

  "over https": async ({ s3cmd, s3, target }) => {
    const { large, folder, secureEndpoint, certificate } = target;
    const { host } = new URL(secureEndpoint);
    const at = ["--ssl", `--ca-certs=${certificate}`, `--host=${host}`, `--host-bucket=${host}`];
    await s3cmd(...at, "put", large.path, s3("secure"));
    await s3cmd(...at, "get", s3("secure"), "secure");
    assert.equal(await sha256OfFile(join(folder, "secure")), large.sha256);
  },

  "cp, mv and modify": async ({ s3cmd, s3, target: { large, folder } }) => {
    await s3cmd("put", large.path, s3("one"));
    await s3cmd("cp", s3("one"), s3(`${awkwardKey} two`));
    await s3cmd("mv", s3(`${awkwardKey} two`), s3("three"));
    await s3cmd("modify", "--add-header=x-amz-meta-name:other", s3("three"));
    assert.match(await s3cmd("info", s3("three")), /x-amz-meta-name: other/);
    await s3cmd("get", s3("three"), "three");
    assert.equal(await sha256OfFile(join(folder, "three")), large.sha256);
    await s3cmd("setacl", "--acl-private", s3("three"));
  },

  "sync: up with equal files, nothing to do, and down": async ({ s3cmd, s3, target }) => {
    const { small, folder } = target;
    const names = ["a", "b c+d.txt", "sub/é ü%&", "sub/deeper/empty", "sub/same"];
    await mkdir(join(folder, "tree/sub/deeper"), { recursive: true });
    const bytes = await readFile(small.path);
    for (const name of names) {
      const content = name.endsWith("empty") ? "" : bytes.subarray(name === "a" ? 1 : 0);
      await writeFile(join(folder, "tree", name), content);
    }
    await s3cmd("sync", "tree/", s3("tree/"));
    assert.doesNotMatch(await s3cmd("sync", "tree/", s3("tree/")), /upload/);
    await s3cmd("sync", s3("tree/"), "back/");
    for (const name of names) {
      const [sent, got] = await Promise.all(
        ["tree", "back"].map((top) => readFile(join(folder, top, name))),
      );
      assert.deepEqual(got, sent, name);
    }
  },

  "ls and du: more than a page, and by folders": async ({ s3cmd, target: { many } }) => {
    const all = await s3cmd("ls", "--recursive", `s3://${many.bucket}`);
    const keys = all
      .trimEnd()
      .split("\n")
      .map((line) => line.split(`s3://${many.bucket}/`)[1]);
    assert.deepEqual(keys, many.keys);
    const top = (await s3cmd("ls", `s3://${many.bucket}/`)).trimEnd().split("\n");
    assert.equal(top.length, many.keys.length / 2 + 1);
    assert.match(top[0] ?? "", /DIR +s3:\/\/\w+\/folder\/$/);
    assert.match(await s3cmd("du", `s3://${many.bucket}`), / 1100 objects/);
  },

  "del and rb: one, all of a prefix, a bucket": async ({ s3cmd, s3cmdRefused, target }) => {
    const made = "s3://s3cmd-made";
    await s3cmd("mb", made);
    for (const key of ["one", "sub/two", awkwardKey]) {
      await s3cmd("put", target.small.path, `${made}/${key}`);
    }
    await s3cmd("del", `${made}/one`);
    await s3cmd("del", "--recursive", `${made}/sub/`);
    assert.match(await s3cmd("ls", "--recursive", made), /^[^\n]*\/é\n$/);
    await s3cmdRefused(/BucketNotEmpty/, "rb", made);
    await s3cmd("del", "--recursive", "--force", made);
    await s3cmd("rb", made);
    await s3cmdRefused(/NoSuchBucket/, "ls", made);
  },

  "signurl: a URL of version 2": async ({ s3cmd, s3, target: { small } }) => {
    await s3cmd("put", small.path, s3("signed"));
    const url = (await s3cmd("signurl", s3("signed"), "+60")).trim();
    const got = await fetch(url);
    assert.equal(got.status, 200);
    assert.equal(sha256(await got.bytes()), small.sha256);
    assert.equal((await fetch(url.replace("/signed", "/large"))).status, 403);
    const late = (await s3cmd("signurl", s3("signed"), "1000000000")).trim();
    assert.equal((await fetch(late)).status, 403);
  },

  "is told what is wrong": async ({ s3cmdRefused, s3, target: { small, bucket } }) => {
    await s3cmdRefused(/does not exist/, "get", s3("none"), "none");
    await s3cmdRefused(/does not exist/, "get", "s3://no-such-bucket/none", "none");
    await s3cmdRefused(/NoSuchBucket/, "put", small.path, "s3://no-such-bucket/k");
    const stranger = "--secret_key=another";
    await s3cmdRefused(/SignatureDoesNotMatch/, stranger, "ls", `s3://${bucket}`);
    await s3cmdRefused(/SignatureDoesNotMatch/, stranger, "put", small.path, s3("stranger"));
    await s3cmdRefused(/does not exist/, "get", s3("stranger"), "none");
    await s3cmdRefused(/AccessControlListNotSupported/, "put", "-P", small.path, s3("public"));
    await s3cmdRefused(/does not exist/, "get", s3("public"), "none");
  },
};
