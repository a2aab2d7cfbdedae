/**
 * No word of ours, of JavaScript's or of Parse's collides with what users call their things: each noun is a bucket, a
 * key, a folder of keys, the name and value of metadata, a file's name, an application; written through every front end
 * and read through the others. A class named `File` once broke an SDK.
 */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { type TestContext, test } from "node:test";
import {
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { Administration, Roma } from "@roma/sdk/node";
import { Upload } from "tus-js-client";
import { runCommandLine } from "../../packages/cli/src/program.ts";
import { send } from "../harness/http-client.ts";
import {
  rootKey,
  type ServerProcess,
  startServer,
  temporaryFolder,
} from "../harness/server-process.ts";

const nouns = [
  ...["File", "Upload", "Object", "Blob", "User", "metadata", "objects", "uploads", "trash"],
  ...["constructor", "prototype", "__proto__", "toString", "hasOwnProperty", "then", "undefined"],
];

const [id = "", secret = ""] = rootKey.split(":");

interface Place {
  readonly server: ServerProcess;
  readonly roma: Roma;
}

/** Every noun is a bucket, made by the SDK, and an application whose files are there. */
async function startWithBuckets(t: TestContext): Promise<Place> {
  const config = join(await temporaryFolder(t), "roma.json");
  const applications = nouns.map((noun) => ({
    ...{ appId: noun, masterKey: `key of ${noun}`, accessKeyId: id, bucket: noun },
    preserveFileName: true,
  }));
  await writeFile(config, JSON.stringify({ parse: { applications } }));
  const server = await startServer(t, { flags: ["--config", config] });
  const roma = new Roma({ endpoint: server.url, token: `${id}.${secret}` });
  t.after(() => roma.close());
  const administration = new Administration(roma);
  for (const noun of nouns) await administration.buckets.create(noun);
  const names = (await administration.buckets.list()).map(({ name }) => name);
  assert.deepEqual(
    nouns.filter((noun) => !names.includes(noun)),
    [],
  );
  return { server, roma };
}

function s3Client({ server }: Place): S3Client {
  return new S3Client({
    endpoint: `${server.url}/s3`,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: { accessKeyId: id, secretAccessKey: secret },
  });
}

const path = (...segments: readonly string[]) => segments.map(encodeURIComponent).join("/");

/** As REST, the SDK, S3 and Parse read it. */
async function assertRead(
  { server, roma }: Place,
  s3: S3Client,
  at: { readonly bucket: string; readonly key: string; readonly text: string },
): Promise<void> {
  const { bucket, key, text } = at;
  const what = `${bucket}/${key}`;
  const byRest = await send(server, "GET", `/v1/objects/${path(bucket, ...key.split("/"))}`);
  assert.equal(byRest.body.toString(), text, what);
  const { body } = await roma.download({ bucket, key });
  assert.equal((await buffer(body)).toString(), text, what);
  const byS3 = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: key }));
  assert.equal(await byS3.Body?.transformToString(), text, what);
  // A first segment `metadata` is a route there, unless its slash is encoded.
  const byParse = await send(server, "GET", `/parse/files/${path(bucket, key)}`, {
    authorization: null,
  });
  assert.equal(byParse.body.toString(), text, what);
}

test("nouns are buckets, keys and folders for REST, the SDK, S3, tus and Parse", async (t) => {
  const place = await startWithBuckets(t);
  const { server, roma } = place;
  const s3 = s3Client(place);
  t.after(() => s3.destroy());
  for (const [index, bucket] of nouns.entries()) {
    const noun = nouns[(index + 1) % nouns.length] ?? "";
    const keyOf = (way: string) => `${noun}/${way}/${bucket}`;
    const metadata = Object.fromEntries([[noun.toLowerCase(), bucket]]);
    await roma.upload(Buffer.from("sdk"), { bucket, key: keyOf("sdk"), metadata }).done();
    const head = await roma.stat({ bucket, key: keyOf("sdk") });
    assert.equal(Object.entries(head.metadata)[0]?.join("="), `${noun.toLowerCase()}=${bucket}`);

    const put = await send(server, "PUT", `/v1/objects/${path(bucket, noun)}`, { body: "rest" });
    assert.equal(put.status, 201, put.body.toString());

    await s3.send(
      new PutObjectCommand({
        ...{ Bucket: bucket, Key: keyOf("s3"), Body: "s3", Metadata: metadata },
        Tagging: `${noun}=${bucket}`,
      }),
    );
    const headed = await s3.send(new HeadObjectCommand({ Bucket: bucket, Key: keyOf("s3") }));
    assert.equal(Object.keys(headed.Metadata ?? {}).length + Number(noun === "__proto__"), 1);

    await byTus(server, { bucket, key: keyOf("tus"), noun });
    const saved = await send(server, "POST", `/parse/files/${path(`${noun}.txt`)}`, {
      headers: {
        "x-parse-application-id": bucket,
        "x-parse-master-key": `key of ${bucket}`,
        "x-parse-file-metadata": `{${JSON.stringify(noun)}:"${bucket}"}`,
      },
      authorization: null,
      body: "parse",
    });
    assert.equal(saved.status, 201, saved.body.toString());
    // With a credential of this server, which is not the application's master key.
    const facts = await send(server, "GET", `/parse/files/${path(bucket, "metadata")}/${noun}.txt`);
    assert.equal(facts.body.toString(), `{"metadata":{${JSON.stringify(noun)}:"${bucket}"}}`);

    for (const way of ["sdk", "s3", "tus"]) {
      await assertRead(place, s3, { bucket, key: keyOf(way), text: way });
    }
    await assertRead(place, s3, { bucket, key: noun, text: "rest" });
    await assertRead(place, s3, { bucket, key: `${noun}.txt`, text: "parse" });
    const all = [noun, `${noun}.txt`, ...["s3", "sdk", "tus"].map(keyOf)].sort();
    assert.deepEqual(await keysByS3(s3, bucket), all);
    const listed = [];
    for await (const { objects } of roma.list(bucket).pages()) {
      listed.push(...objects.map(({ key }) => key));
    }
    assert.deepEqual(listed.sort(), all);
  }
});

async function keysByS3(s3: S3Client, bucket: string): Promise<readonly string[]> {
  const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket: bucket }));
  return Contents.map(({ Key = "" }) => Key).sort();
}

function byTus(
  server: ServerProcess,
  { bucket, key, noun }: { readonly bucket: string; readonly key: string; readonly noun: string },
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const upload = new Upload(Buffer.from("tus"), {
    endpoint: `${server.url}/tus/${encodeURIComponent(bucket)}`,
    headers: { authorization: `Bearer ${id}.${secret}` },
    metadata: { key, filename: noun, ...Object.fromEntries([[noun, bucket]]) },
    onError: reject,
    onSuccess: () => resolve(),
  });
  upload.start();
  return promise;
}

test("nouns are buckets, keys and files for the command line", async (t) => {
  const { server } = await startWithBuckets(t);
  const folder = await temporaryFolder(t);
  const roma = (...args: readonly string[]) => command(server, folder, args);
  for (const noun of nouns) {
    await writeFile(join(folder, noun), noun);
    await roma("upload", noun, `${noun}/${noun}/`);
    assert.match(await roma("ls", "-r", noun), new RegExp(`${noun}/${noun}`));
    await roma("download", `${noun}/${noun}/${noun}`, "copy");
    assert.equal(await readFile(join(folder, "copy"), "utf8"), noun);
    await roma("rm", `${noun}/${noun}/${noun}`);
    assert.doesNotMatch(await roma("ls", "-r", noun), new RegExp(`${noun}/${noun}`));
  }
});

async function command(
  server: ServerProcess,
  folder: string,
  args: readonly string[],
): Promise<string> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const told = Promise.all([buffer(stdout), buffer(stderr)]);
  const exitCode = await runCommandLine(args, {
    stdin: Readable.from([]),
    stdout,
    stderr,
    env: { ROMA_ENDPOINT: server.url, ROMA_KEY: `${id}.${secret}` },
    cwd: folder,
    signal: new AbortController().signal,
  });
  stdout.end();
  stderr.end();
  const [said, complained] = await told;
  assert.equal(exitCode, 0, `${args.join(" ")}: ${complained}`);
  return said.toString();
}
