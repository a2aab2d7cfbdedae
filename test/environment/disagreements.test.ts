/**
 * Configuration, metadata store and storages say which environment they are of. Where they agree, or one of
 * them says nothing, all come to say the same; where two disagree, nothing is changed by anybody.
 */
import assert from "node:assert/strict";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setDataEnvironment } from "../../packages/server/src/relabel.ts";
import type { RunningServer } from "../../packages/server/src/server.ts";
import { Emulator } from "../../packages/server/src/storage/s3/emulator/testing.ts";
import { temporaryFolder } from "../harness/temporary-folder.ts";
import { call, contentOf, labelOf, listening, readiness, start } from "./server.ts";

async function use<T>(
  starting: Promise<RunningServer>,
  run: (server: RunningServer) => Promise<T>,
) {
  await using server = await starting;
  return await run(server);
}

async function put(server: RunningServer, target: string, body = "content"): Promise<void> {
  const answer = await call(server, "PUT", target, { body });
  assert.equal(answer.status, 201, answer.text);
}

async function relabel(data: string, label: string): Promise<void> {
  const { unreached } = await setDataEnvironment(label, { config: { data }, environment: {} });
  assert.deepEqual(unreached, []);
}

async function assertReadOnly(server: RunningServer, reason: RegExp, errors: readonly string[]) {
  const refused = await call(server, "PUT", "/v1/objects/demo/new", { body: "x" });
  assert.equal(refused.status, 503);
  assert.equal(refused.code, "read_only");
  assert.match(refused.text, reason);
  assert.match(refused.text, /"retryable":false/);
  const read = await call(server, "GET", "/v1/objects/demo/k");
  assert.equal(read.text, "content", "reads go on");
  const ready = await readiness(server);
  assert.equal(ready.status, 200, "reads are served");
  assert.equal(ready.environment.ok, false);
  assert.match(ready.environment.reason ?? "", reason);
  assert.match(errors.join("\n"), reason);
  assert.match(errors.join("\n"), /roma environment set LABEL/);
  const metrics = await (await fetch(`${server.opsUrl}/metrics`)).text();
  assert.match(metrics, /^read_only 1$/m);
}

test("data without a label takes the configuration's, in the store and every mark, and keeps it", async (t) => {
  const data = await temporaryFolder(t);
  const other = join(await temporaryFolder(t), "other");
  const { log, errors } = listening();
  await use(start(data, { log }), async (server) => {
    await put(server, "/v1/objects/demo/k");
    const body = JSON.stringify({ driver: "posix", root: other });
    assert.equal((await call(server, "PUT", "/v1/storages/other", { body })).status, 201);
    const answer = await call(server, "GET", "/v1/environment");
    assert.deepEqual(JSON.parse(answer.text), { environment: null, readOnly: null });
    assert.equal(answer.environment, null);
  });
  assert.equal(await labelOf(join(data, "objects")), undefined);
  await use(start(data, { log, environment: "production" }), async (server) => {
    const answer = await call(server, "GET", "/v1/environment");
    assert.deepEqual(JSON.parse(answer.text), { environment: "production", readOnly: null });
    await put(server, "/v1/objects/demo/l");
  });
  assert.equal(await labelOf(join(data, "objects")), "production");
  assert.equal(await labelOf(other), "production");
  // Without a configured label the data's holds.
  await use(start(data, { log }), async (server) => {
    assert.equal((await call(server, "GET", "/v1/buckets")).environment, "production");
    await put(server, "/v1/objects/demo/m");
    assert.equal((await readiness(server)).environment.ok, true);
  });
  assert.deepEqual(errors, []);
});

test("a configuration of another environment changes nothing at all, until the data is relabelled", async (t) => {
  const data = await temporaryFolder(t);
  const { log, errors } = listening();
  await use(start(data, { log, environment: "production" }), async (server) => {
    await put(server, "/v1/objects/demo/k");
    await put(server, "/v1/objects/demo/gone");
    // Garbage, and an upload that is due: work for the sweeper and the upkeep, if they ran.
    assert.equal((await call(server, "DELETE", "/v1/objects/demo/gone")).status, 204);
  });
  const before = await contentOf(data);
  const wrong = { log, environment: "development", rootKey: "ANOTHER:battery-staple-horse" };
  await use(start(data, wrong), async (server) => {
    await assertReadOnly(
      server,
      /data is of the environment production, but the configuration says development/,
      errors,
    );
    // Longer than both intervals of background work.
    const { promise, resolve } = Promise.withResolvers<void>();
    setTimeout(resolve, 400);
    await promise;
  });
  assert.deepEqual(await contentOf(data), before, "not a byte and not a row has changed");
  await relabel(data, "development");
  assert.equal(await labelOf(join(data, "objects")), "development");
  await use(start(data, { log, environment: "development" }), (server) =>
    put(server, "/v1/objects/demo/new"),
  );
});

test("a storage of another environment makes the server read-only at its start", async (t) => {
  const data = await temporaryFolder(t);
  const other = join(await temporaryFolder(t), "other");
  const { log, errors } = listening();
  await use(start(data, { log, environment: "production" }), async (server) => {
    await put(server, "/v1/objects/demo/k");
    const body = JSON.stringify({ driver: "posix", root: other });
    assert.equal((await call(server, "PUT", "/v1/storages/other", { body })).status, 201);
  });
  await writeLabel(other, "development");
  const before = { data: await contentOf(data), other: await labelOf(other) };
  await use(start(data, { log }), (server) =>
    assertReadOnly(server, /the storage other says development/, errors),
  );
  assert.deepEqual({ data: await contentOf(data), other: await labelOf(other) }, before);
  await relabel(data, "production");
  assert.equal(await labelOf(other), "production");
  await use(start(data, { log }), (server) => put(server, "/v1/objects/demo/new"));
});

test("a metadata store that was lost does not take over a labelled storage without a word", async (t) => {
  const data = await temporaryFolder(t);
  const { log } = listening();
  await use(start(data, { log, environment: "production" }), (server) =>
    put(server, "/v1/objects/demo/k"),
  );
  for (const end of ["", "-wal", "-shm"]) {
    await rm(join(data, `metadata.sqlite${end}`), { force: true });
  }
  for (const environment of [undefined, "development"]) {
    const { log: told, errors } = listening();
    const options = environment === undefined ? { log: told } : { log: told, environment };
    await use(start(data, options), async (server) => {
      const { environment: check } = await readiness(server);
      assert.match(check.reason ?? "", /has no environment, but the storage local says production/);
      assert.match(errors.join("\n"), /started read-only/);
    });
    assert.equal(await labelOf(join(data, "objects")), "production");
  }
});

for (const [kind, settings] of [
  [
    "posix",
    async (t: TestContext) => ({ driver: "posix", root: join(await temporaryFolder(t), "s") }),
  ],
  ["s3", emulated],
] as const) {
  test(`a ${kind} storage of another environment is refused when it is added, and one of ours when it left`, async (t) => {
    const { log } = listening();
    const body = JSON.stringify(await settings(t));
    const add = async (data: string, environment: string) =>
      use(start(data, { log, environment }), (server) =>
        call(server, "PUT", "/v1/storages/shared", { body }),
      );
    assert.equal((await add(await temporaryFolder(t), "production")).status, 201);
    const refused = await add(await temporaryFolder(t), "development");
    assert.equal(refused.status, 409, refused.text);
    assert.equal(refused.code, "environment_mismatch");
    assert.match(
      refused.text,
      /is of the environment production, and the server's data is of development/,
    );
    const data = await temporaryFolder(t);
    const unlabelled = await use(start(data, { log }), (server) =>
      call(server, "PUT", "/v1/storages/shared", { body }),
    );
    assert.equal(
      unlabelled.code,
      "environment_mismatch",
      "data without a label is not of production",
    );
    assert.equal((await add(await temporaryFolder(t), "production")).status, 201);
  });
}

async function emulated(t: TestContext) {
  const emulator = await new Emulator({ vendor: "minio", region: "eu-test-1" }).listen();
  t.after(() => emulator[Symbol.asyncDispose]());
  const { accessKeyId, secretAccessKey } = emulator.key;
  const { port } = new URL(emulator.endpoint);
  return {
    ...{ driver: "s3", vendor: "minio", region: "eu-test-1", bucket: emulator.bucket },
    ...{ endpoint: `http://127.0.0.1:${port}`, accessKeyId, secretAccessKey },
  };
}

test("relabelling is refused while a server runs, where there is no data, and for what is no label", async (t) => {
  const data = await temporaryFolder(t);
  const { log } = listening();
  const set = (folder: string, label: string) =>
    setDataEnvironment(label, { config: { data: folder }, environment: {} });
  await assert.rejects(set(join(data, "none"), "production"), /there is no data of a server in/);
  await use(start(data, { log }), async () => {
    await assert.rejects(set(data, "production"), /another Roma uses the folder/);
  });
  for (const label of ["", "Production", "1st", "a".repeat(33), "a b"]) {
    await assert.rejects(set(data, label), /LABEL is not 1 to 32 lower-case letters/);
  }
  assert.deepEqual(await set(data, "production"), { before: null, unreached: [] });
  assert.deepEqual(await set(data, "test"), { before: "production", unreached: [] });
});

async function writeLabel(root: string, environment: string): Promise<void> {
  const path = join(root, ".roma", "storage.json");
  const mark: object = JSON.parse(await readFile(path, "utf8"));
  await writeFile(path, JSON.stringify({ ...mark, environment }));
}
