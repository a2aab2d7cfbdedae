/**
 * What docs/migrating-from-parse.md says about moving files, done with its own commands: files are saved through a
 * real parse-server with each of the other adapters, moved, and read by the rows that were there, through ours.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { type TestContext, test } from "node:test";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import {
  rootKey,
  type ServerProcess,
  startServer,
  temporaryFolder,
} from "../harness/server-process.ts";
import { describeWhere } from "../prerequisites.ts";
import { run } from "../s3-clients/programs.ts";
import { type Service, useService } from "../storages/service.ts";
import {
  type AdapterWay,
  adapterModule,
  adapterOptions,
  application,
  makeDatabase,
  startParseServer,
} from "./environment.ts";
import { bucket, makeBucket } from "./ways.ts";

const examples = resolve(import.meta.dirname, "../../examples/parse");
const cli = resolve(import.meta.dirname, "../../packages/cli/src/main.ts");

/** Names as applications have them: with spaces, in directories. */
const files = [
  { name: "a b@c~d.txt", directory: undefined, bytes: randomBytes(10_000) },
  { name: "deep.bin", directory: "in/here", bytes: randomBytes(3_000_000) },
  { name: "picture.svg.txt", directory: undefined, bytes: Buffer.from("<svg/>") },
];

const headers = {
  "x-parse-application-id": application.appId,
  "x-parse-master-key": application.masterKey,
};

describeWhere(["parse", "postgres"], "files of parse-server's other adapters", () => {
  const postgres = useService("postgres");

  test("fs: hard links with decoded names, and roma upload", async (t) => {
    const value = { module: "@parse/fs-files-adapter", options: {} };
    const adapter: AdapterWay = { way: "value", value };
    await assertMoved(t, postgres, adapter, async ({ roma, folder }) => {
      const link = [join(examples, "link-decoded.mjs"), "files", "moving"];
      await run(process.execPath, link, { folder });
      // Again: what is there is left.
      await run(process.execPath, link, { folder });
      await run(process.execPath, [cli, "upload", "moving/", bucket], {
        folder,
        environment: { ROMA_ENDPOINT: roma.url, ROMA_KEY: rootKey },
      });
    });
  });

  test("fs with a key, which nobody can copy: through the running parse-server", async (t) => {
    const options = { encryptionKey: "a key of thirty-two characters!!" };
    const value = { module: "@parse/fs-files-adapter", options };
    const adapter: AdapterWay = { way: "value", value };
    await assertMoved(t, postgres, adapter, async ({ roma, folder, url, names }) => {
      const environment = {
        ...{ PARSE_URL: url, PARSE_APP: application.appId },
        ...{ ROMA_ENDPOINT: roma.url, ROMA_KEY: rootKey },
      };
      const copy = `"${process.execPath}" "${join(examples, "copy-through.mjs")}" ${bucket} < names`;
      await writeFile(join(folder, "names"), `${names.join("\n")}\n`);
      for (let round = 0; round < 2; round += 1) {
        await run("bash", ["-c", copy], { folder, environment });
      }
      await writeFile(join(folder, "names"), "no-such-file.txt\n");
      await assert.rejects(run("bash", ["-c", copy], { folder, environment }), /answered 404/);
    });
  });
});

describeWhere(["parse", "postgres", "minio", "rclone"], "files of the S3 adapter", () => {
  const postgres = useService("postgres");
  const minio = useService("minio");

  test("rclone, from their bucket to ours", async (t) => {
    const endpoint = minio.value("MINIO_S3_ENDPOINT");
    const credentials = {
      accessKeyId: minio.value("MINIO_S3_ACCESS_KEY"),
      secretAccessKey: minio.value("MINIO_S3_SECRET_KEY"),
    };
    const client = { endpoint, credentials, forcePathStyle: true, region: "us-east-1" };
    const s3 = new S3Client(client);
    await s3.send(new CreateBucketCommand({ Bucket: "parse-old" }));
    s3.destroy();
    const options = { bucket: "parse-old", bucketPrefix: "app1/", s3overrides: client };
    const value = { module: "@parse/s3-files-adapter", options };
    await assertMoved(t, postgres, { way: "value", value }, async ({ roma, folder }) => {
      const [id = "", secret = ""] = rootKey.split(":");
      const environment = {
        ...remote("OLD", { endpoint, ...credentials }),
        ...remote("ROMA", { endpoint: `${roma.url}/s3`, accessKeyId: id, secretAccessKey: secret }),
      };
      const [from, to] = ["old:parse-old/app1", `roma:${bucket}`];
      await run("rclone", ["copy", from, to, "--metadata"], { folder, environment });
      await run("rclone", ["check", from, to, "--download"], { folder, environment });
    });
  });
});

/** A remote of rclone in its environment, as the document has it in a file. */
function remote(
  name: string,
  given: {
    readonly endpoint: string;
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
  },
): Record<string, string> {
  const settings = {
    TYPE: "s3",
    PROVIDER: "Other",
    ENDPOINT: given.endpoint,
    ACCESS_KEY_ID: given.accessKeyId,
    SECRET_ACCESS_KEY: given.secretAccessKey,
  };
  const entries = Object.entries(settings);
  return Object.fromEntries(entries.map(([key, value]) => [`RCLONE_CONFIG_${name}_${key}`, value]));
}

/** Saves with `before`, lets `move` do its work, and reads the same rows with our adapter. */
async function assertMoved(
  t: TestContext,
  postgres: Service,
  before: AdapterWay,
  move: (given: {
    readonly roma: ServerProcess;
    /** Where that parse-server runs, for its files. */
    readonly folder: string;
    readonly url: string;
    readonly names: readonly string[];
  }) => Promise<void>,
): Promise<void> {
  const roma = await startServer(t);
  await makeBucket(roma);
  const databaseURI = await makeDatabase(postgres);
  const folder = await temporaryFolder(t);
  const options = { databaseURI };
  const old = await startParseServer(t, postgres, { adapter: before, options, folder });
  const names: string[] = [];
  for (const file of files) names.push(await saveWithRow(old.url, file));
  await move({ roma, folder, url: old.url, names });
  await old.stop();
  const value = { module: adapterModule, options: adapterOptions(roma.url, bucket) };
  const parse = await startParseServer(t, postgres, { adapter: { way: "value", value }, options });
  const answer = await fetch(`${parse.url}/classes/Kept?order=createdAt`, { headers });
  const { results }: { results: readonly Row[] } = JSON.parse(await answer.text());
  assert.deepEqual(
    results.map(({ file }) => file.name),
    names,
  );
  for (const [index, { file }] of results.entries()) {
    assert.equal(new URL(file.url).origin, roma.url);
    const got = await fetch(file.url);
    assert.equal(got.status, 200, file.name);
    assert.ok(files[index]?.bytes.equals(Buffer.from(await got.arrayBuffer())), file.name);
  }
  const type = (await fetch(results[0]?.file.url ?? "", { method: "HEAD" })).headers;
  assert.match(type.get("content-type") ?? "", /^text\/plain/);
}

interface Row {
  readonly file: { readonly name: string; readonly url: string };
}

async function saveWithRow(
  parseUrl: string,
  { name, directory, bytes }: (typeof files)[number],
): Promise<string> {
  const saved = await fetch(`${parseUrl}/files/${encodeURIComponent(name)}`, {
    method: "POST",
    headers: {
      ...headers,
      "x-parse-upload-mode": "stream",
      ...(directory === undefined ? {} : { "x-parse-file-directory": directory }),
    },
    body: new Uint8Array(bytes),
  });
  assert.equal(saved.status, 201, await saved.clone().text());
  const file = JSON.parse(await saved.text());
  const row = await fetch(`${parseUrl}/classes/Kept`, {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body: JSON.stringify({ file: { __type: "File", name: file.name } }),
  });
  assert.equal(row.status, 201, await row.text());
  return file.name;
}
