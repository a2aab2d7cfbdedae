/** rclone, as a storage of the kind "Other". */
import { strict as assert } from "node:assert";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { requirePrerequisite } from "../prerequisites.ts";
import { awkwardKey, type S3ClientTests, type Target } from "./client.ts";
import { type ProgramOptions, refused, run, sha256 } from "./programs.ts";

interface Rclone {
  readonly target: Target;
  /** What it printed; must succeed. */
  readonly rclone: (args: readonly string[], more?: Partial<ProgramOptions>) => Promise<Buffer>;
  readonly rcloneRefused: (args: readonly string[], says: RegExp) => Promise<void>;
  /** An address of the client's bucket. */
  readonly at: (key: string) => string;
}

export const rclone: S3ClientTests = {
  name: "rclone",
  run: async (t, open) => {
    if (!requirePrerequisite(t, "rclone")) return;
    const target = await open();
    const { folder } = target;
    const environment = {
      RCLONE_CONFIG: join(folder, "rclone.conf"),
      // What fails here would fail the second time too.
      RCLONE_RETRIES: "1",
      RCLONE_LOW_LEVEL_RETRIES: "1",
    };
    await writeFile(environment.RCLONE_CONFIG, settings(target));
    const options = { folder, environment };
    const given: Rclone = {
      target,
      at: (key) => `roma:${target.bucket}/${key}`,
      rclone: (args, more = {}) => run("rclone", args, { ...options, ...more }),
      rcloneRefused: (args, says) => refused("rclone", args, { ...options, says }),
    };
    for (const [name, act] of Object.entries(cases)) await t.test(name, () => act(given));
  },
};

function settings({ endpoint, accessKeyId, secretAccessKey }: Target): string {
  return [
    "[roma]",
    "type = s3",
    "provider = Other",
    `access_key_id = ${accessKeyId}`,
    `secret_access_key = ${secretAccessKey}`,
    `endpoint = ${endpoint}`,
    "",
  ].join("\n");
}

/** Else it puts up to 200 MiB at once. */
const inParts = ["--s3-upload-cutoff", "5Mi", "--s3-chunk-size", "5Mi"];

const cases: Readonly<Record<string, (given: Rclone) => Promise<void>>> = {
  "copy, check by hashes and by bytes, and back again": async (given) => {
    const { rclone, rcloneRefused, at, target } = given;
    const { small, large, folder } = target;
    const tree = join(folder, "tree");
    const names = ["a", "b c+d.txt", "sub/é ü%&", "sub/deeper/empty"];
    await mkdir(join(tree, "sub/deeper"), { recursive: true });
    const bytes = await readFile(small.path);
    for (const [index, name] of names.entries()) {
      await writeFile(join(tree, name), name.endsWith("empty") ? "" : bytes.subarray(index));
    }
    await writeFile(join(tree, "sub/large"), await readFile(large.path));
    await rclone(["copy", ...inParts, "tree", at("tree")]);
    await rclone(["check", "tree", at("tree")]);
    await rclone(["check", "--download", "tree", at("tree")]);
    const listed = String(await rclone(["lsf", "--recursive", "--files-only", at("tree")]));
    const sorted = [...names, "sub/large"].sort();
    assert.deepEqual(listed.trimEnd().split("\n").sort(), sorted);
    // Times are kept: there is nothing to do.
    assert.doesNotMatch(await told(given, ["sync", "tree", at("tree")]), /Copied/);
    await rclone(["copy", at("tree"), "back"]);
    await rclone(["check", "tree", "back"]);
    // One byte that differs, with the length and the time as before, is seen by its hash.
    const sent = await readFile(join(tree, "a"));
    sent.writeUInt8((sent.readUInt8(0) + 1) % 256, 0);
    await writeFile(join(tree, "a"), sent);
    await rcloneRefused(["check", "tree", at("tree")], /1 differences found/);
    await rclone(["sync", "tree", at("tree"), "--checksum"]);
    await rclone(["check", "tree", at("tree")]);
  },

  "hashsum and cat: MD5 of what was sent in parts, and from an offset": async (given) => {
    const {
      rclone,
      at,
      target: { large, small },
    } = given;
    await rclone(["copyto", ...inParts, large.path, at("large")]);
    const bytes = await readFile(large.path);
    const cat = await rclone(["cat", at("large"), "--offset", "5242870", "--count", "100000"]);
    assert.equal(sha256(cat), sha256(bytes.subarray(5_242_870, 5_342_870)));
    assert.equal(
      sha256(await rclone(["cat", at("large"), "--tail", "10"])),
      sha256(bytes.subarray(-10)),
    );
    const sums = await rclone(["hashsum", "md5", at("large")]);
    const expected = await rclone(["hashsum", "md5", large.path]);
    assert.equal(String(sums).slice(0, 32), String(expected).slice(0, 32));
    await rclone(["rcat", at(awkwardKey)], { input: small.path });
    assert.equal(sha256(await rclone(["cat", at(awkwardKey)])), small.sha256);
    await rclone(["rcat", "--streaming-upload-cutoff", "1Mi", at("piped")], { input: large.path });
    assert.equal(sha256(await rclone(["cat", at("piped")])), large.sha256);
  },

  "over https": async ({ rclone, at, target: { large, secureEndpoint, certificate } }) => {
    const secure = ["--s3-endpoint", secureEndpoint, "--ca-cert", certificate];
    await rclone([...secure, "copyto", ...inParts, large.path, at("secure")]);
    assert.equal(sha256(await rclone([...secure, "cat", at("secure")])), large.sha256);
  },

  "copyto and moveto within, by parts too": async ({ rclone, at, target: { large } }) => {
    await rclone(["copyto", large.path, at("one")]);
    await rclone(["copyto", at("one"), at("two")]);
    await rclone([
      "copyto",
      "--s3-copy-cutoff",
      "10Mi",
      "--s3-chunk-size",
      "5Mi",
      at("two"),
      at("three"),
    ]);
    await rclone(["moveto", at("three"), at(`${awkwardKey} four`)]);
    assert.equal(sha256(await rclone(["cat", at(`${awkwardKey} four`)])), large.sha256);
    await rclone(["touch", "--timestamp", "2001-02-03T04:05:06", at("two")]);
    const [{ ModTime }] = JSON.parse(String(await rclone(["lsjson", at("two")])));
    assert.match(ModTime, /^2001-02-03T04:05:06/);
    assert.equal(sha256(await rclone(["cat", at("two")])), large.sha256);
  },

  "lsf: more than a page, in order and by folders": async ({ rclone, target: { many } }) => {
    const list = ["lsf", "--files-only", `roma:${many.bucket}`];
    const all = String(await rclone([...list, "--recursive"]));
    assert.deepEqual(all.trimEnd().split("\n").sort(), [...many.keys].sort());
    const version2 = String(await rclone([...list, "--recursive", "--s3-list-version", "2"]));
    assert.deepEqual(version2.trimEnd().split("\n").sort(), [...many.keys].sort());
    const top = String(await rclone(["lsf", `roma:${many.bucket}`]))
      .trimEnd()
      .split("\n");
    assert.equal(top.length, many.keys.length / 2 + 1);
    assert.ok(top.includes("folder/"));
  },

  "link: a presigned URL": async ({ rclone, at, target: { small } }) => {
    await rclone(["copyto", small.path, at("linked")]);
    const url = String(await rclone(["link", "--expire", "1h", at("linked")])).trim();
    const got = await fetch(url);
    assert.equal(got.status, 200);
    assert.equal(sha256(await got.bytes()), small.sha256);
    assert.equal((await fetch(url.replace("linked", "large"))).status, 403);
  },

  "delete and purge, in a bucket that a copy made": async ({ rclone, rcloneRefused, target }) => {
    const made = "roma:rclone-made";
    for (const name of ["one", "sub/two", "sub/three"]) {
      await rclone(["copyto", target.small.path, `${made}/${name}`]);
    }
    await rclone(["deletefile", `${made}/one`]);
    await rclone(["delete", "--include", "two", made]);
    assert.equal(String(await rclone(["lsf", "-R", "--files-only", made])), "sub/three\n");
    assert.match(String(await rclone(["lsd", "roma:"])), /rclone-made/);
    await rclone(["cleanup", made]);
    await rclone(["purge", made]);
    await rcloneRefused(["lsf", made], /directory not found/);
  },

  "is told what is wrong": async ({ rclone, rcloneRefused, at, target }) => {
    const { bucket, small } = target;
    await rcloneRefused(["deletefile", at("none")], /doesn't exist/);
    await rcloneRefused(["lsf", "roma:no-such-bucket"], /directory not found/);
    const wrong = ["--s3-secret-access-key", "another"];
    await rcloneRefused([...wrong, "lsf", `roma:${bucket}`], /SignatureDoesNotMatch/);
    await rcloneRefused([...wrong, "copyto", small.path, at("stranger")], /403|Forbidden/);
    assert.equal(
      String(await rclone(["lsf", "--files-only", "--include", "stranger", `roma:${bucket}`])),
      "",
    );
  },
};

/** What it says of its work. */
async function told({ rclone, target }: Rclone, args: readonly string[]): Promise<string> {
  const file = join(target.folder, "told.log");
  await writeFile(file, "");
  await rclone([...args, "-v", "--log-file", file]);
  return await readFile(file, "utf8");
}
