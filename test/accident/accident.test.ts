/**
 * The accident: a script that was written for local data lists everything and deletes it, and is run against
 * production, with an ordinary key. In four styles, each with a real client. It is stopped at exactly the cap, the
 * alarm is raised, and one command brings everything back.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { DeleteObjectsCommand, ListObjectsV2Command, S3Client } from "@aws-sdk/client-s3";
import { runCommandLine } from "../../packages/cli/src/program.ts";
import type { RunningServer } from "../../packages/server/src/server.ts";
import { listening, rootKey, start } from "../environment/server.ts";
import { eventually } from "../harness/process-usage.ts";

const objectCount = 60;
const cap = 25;

interface Key {
  readonly id: string;
  readonly secret: string;
}

let server: RunningServer;
let folder: string;
const { log, errors } = listening();
const opened = new AsyncDisposableStack();

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "roma-accident-"));
  opened.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  const trash = { productionDeletesPerHour: cap };
  server = opened.use(await start(folder, { log, environment: "production", trash }));
});
after(() => opened.disposeAsync());

async function ask(target: string, init: RequestInit & { readonly as?: Key } = {}) {
  const { as = rootKey, ...rest } = init;
  const headers = { ...rest.headers, authorization: `Bearer ${as.id}.${as.secret}` };
  return await fetch(new URL(target, server.url), { ...rest, headers });
}

async function filled(bucket: string): Promise<Key> {
  const made = await ask(`/v1/buckets/${bucket}`, { method: "PUT" });
  assert.ok(made.ok || made.status === 409);
  for (let number = 0; number < objectCount; number++) {
    const body = `bytes of ${number} in ${bucket}`;
    const put = await ask(`/v1/objects/${bucket}/photo-${number}.txt`, { method: "PUT", body });
    assert.equal(put.status, 201, await put.text());
  }
  const actions = ["object:read", "object:write", "object:delete", "object:list", "bucket:read"];
  const policy = [{ buckets: ["*"], actions }];
  const body = JSON.stringify({ name: "an ordinary key", policy });
  const key = await ask("/v1/keys", { method: "POST", body });
  assert.equal(key.status, 201);
  return (await key.json()) as Key;
}

/** Keys, versions and digests of the bytes as they come back. */
async function content(bucket: string): Promise<readonly string[]> {
  const list = await ask(`/v1/objects/${bucket}`);
  const { objects } = (await list.json()) as {
    readonly objects: readonly { readonly key: string; readonly version: string }[];
  };
  const read = objects.map(async ({ key, version }) => {
    const bytes = await (await ask(`/v1/objects/${bucket}/${key}`)).arrayBuffer();
    return `${key} ${version} ${createHash("sha256").update(Buffer.from(bytes)).digest("hex")}`;
  });
  return await Promise.all(read);
}

async function roma(key: Key, ...args: readonly string[]) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const texts = Promise.all([text(stdout), text(stderr)]);
  const exitCode = await runCommandLine(args, {
    ...{ stdin: Readable.from([]), stdout, stderr, cwd: folder },
    env: { ROMA_ENDPOINT: server.url, ROMA_KEY: `${key.id}.${key.secret}` },
    signal: new AbortController().signal,
  });
  stdout.end();
  stderr.end();
  const [out, err] = await texts;
  return { exitCode, out, err };
}

/** What the script was told about the objects that it could not delete. */
type Script = (bucket: string, key: Key) => Promise<readonly string[]>;

const keysOf = async (bucket: string, as: Key): Promise<readonly string[]> => {
  const { objects } = (await (await ask(`/v1/objects/${bucket}`, { as })).json()) as {
    readonly objects: readonly { readonly key: string }[];
  };
  return objects.map(({ key }) => key);
};

const scripts: Readonly<Record<string, Script>> = {
  "REST, one after the other": async (bucket, as) => {
    const told: string[] = [];
    for (const key of await keysOf(bucket, as)) {
      const answer = await ask(`/v1/objects/${bucket}/${key}`, { method: "DELETE", as });
      if (!answer.ok)
        told.push(`${answer.status} ${((await answer.json()) as { code: string }).code}`);
    }
    return told;
  },
  "S3 DeleteObjects": async (bucket, as) => {
    const client = new S3Client({
      ...{ endpoint: `${server.url}/s3`, region: "us-east-1", forcePathStyle: true },
      credentials: { accessKeyId: as.id, secretAccessKey: as.secret },
    });
    try {
      const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: bucket }));
      const Objects = Contents.map(({ Key }) => ({ Key }));
      const command = new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects } });
      const { Errors = [] } = await client.send(command);
      return Errors.map(({ Code }) => `403 ${Code}`);
    } finally {
      client.destroy();
    }
  },
  "Parse DELETE with the master key": async (bucket, as) => {
    const told: string[] = [];
    for (const key of await keysOf(bucket, as)) {
      const headers = { "x-parse-application-id": as.id, "x-parse-master-key": as.secret };
      const target = new URL(`/parse/files/${key}`, server.url);
      const answer = await fetch(target, { method: "DELETE", headers });
      if (!answer.ok)
        told.push(`${answer.status} ${((await answer.json()) as { code: number }).code}`);
    }
    return told;
  },
  "a loop of the command line": async (bucket, as) => {
    const told: string[] = [];
    const listed = await roma(as, "ls", "-r", "--json", bucket);
    for (const line of listed.out.trim().split("\n")) {
      const { key } = JSON.parse(line) as { readonly key: string };
      const { exitCode, err } = await roma(as, "rm", `${bucket}/${key}`);
      assert.match(err, /^environment: production$/m, "it says what it is about to change");
      if (exitCode !== 0) told.push(`403 ${/\((delete_cap_reached)/.exec(err)?.[1]}`);
    }
    return told;
  },
};

const refusals: Readonly<Record<string, string>> = {
  "REST, one after the other": "403 delete_cap_reached",
  "S3 DeleteObjects": "403 AccessDenied",
  "Parse DELETE with the master key": "403 119",
  "a loop of the command line": "403 delete_cap_reached",
};

describe("everything is listed and deleted, in production, with an ordinary key", () => {
  for (const [index, [style, script]] of Object.entries(scripts).entries()) {
    test(style, async () => {
      // Of an access key that nobody configured, Parse's files are in this bucket.
      const bucket = style.startsWith("Parse") ? "parse" : `photos-${index}`;
      const key = await filled(bucket);
      const before = await content(bucket);
      assert.equal(before.length, objectCount);
      errors.length = 0;
      const startedAt = new Date().toISOString();
      const told = await script(bucket, key);
      assert.equal(told.length, objectCount - cap, "stopped at exactly the cap");
      assert.deepEqual([...new Set(told)], [refusals[style]]);
      assert.equal((await content(bucket)).length, objectCount - cap);
      assert.equal(errors.length, 1, "one alarm, however often it was refused");
      assert.match(errors[0] ?? "", /further deletes are refused/);
      // The ordinary key cannot make it final.
      const purge = await roma(key, "trash", "purge", bucket, "--all", "--yes");
      assert.equal(purge.exitCode, 3, purge.err);
      const restored = await roma(rootKey, "trash", "restore", bucket, "--since", startedAt);
      assert.equal(restored.exitCode, 0, restored.err);
      assert.deepEqual(await content(bucket), before, "every object, version and byte");
    });
  }

  test("who means it plans it: past the cap, with the command line, and back again", async () => {
    await filled("meant-it");
    const before = await content("meant-it");
    const planned = await roma(rootKey, "bulk-delete", "plan", "meant-it/photo-", "--json");
    assert.equal(planned.exitCode, 0, planned.err);
    const { id, objects } = JSON.parse(planned.out) as { id: string; objects: number };
    assert.equal(objects, objectCount);
    const typed = ["--bucket", "meant-it", "--environment", "production"];
    const ran = await roma(rootKey, "bulk-delete", "confirm", id, ...typed);
    assert.equal(ran.exitCode, 0, ran.err);
    const is = async (state: string) =>
      (await roma(rootKey, "bulk-delete", "status", id)).out.includes(` ${state}: `);
    await eventually("it is done", () => is("done"));
    assert.deepEqual(await content("meant-it"), []);
    assert.equal((await roma(rootKey, "bulk-delete", "undo", id)).exitCode, 0);
    await eventually("it is undone", () => is("undone"));
    assert.deepEqual(await content("meant-it"), before);
  });

  test("the script of somebody who said which environment he means deletes nothing", async () => {
    const key = await filled("meant");
    const before = await content("meant");
    const headers = { "roma-environment": "development" };
    for (const name of await keysOf("meant", key)) {
      const target = `/v1/objects/meant/${name}`;
      const answer = await ask(target, { method: "DELETE", as: key, headers });
      assert.equal(answer.status, 409);
    }
    const loop = await roma(key, "--env", "development", "rm", "-r", "meant/", "--all", "--yes");
    assert.equal(loop.exitCode, 5, loop.err);
    assert.deepEqual(await content("meant"), before);
  });
});
