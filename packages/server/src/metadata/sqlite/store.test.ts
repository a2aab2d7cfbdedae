/** The embedded store: the conformance suite, and what is SQLite's own. */
import { strict as assert } from "node:assert";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { isOperationalError } from "../../core/errors.ts";
import { silentLog } from "../../core/ports/log.ts";
import type { ListPage, MetadataStore } from "../../core/ports/metadata-store.ts";
import { silentMeter } from "../../core/ports/meter.ts";
import { describeMetadataStore } from "../conformance.ts";
import {
  at,
  author,
  blob,
  bucket,
  deletedAt,
  garbageDueAt,
  object,
  openWithBucket,
  put,
  putAll,
  take,
  withCode,
} from "../conformance-samples.ts";
import { openSqliteStore } from "./store.ts";

const paths = new WeakMap<TestContext, string>();
const open = (t: TestContext) => openSqliteStore({ path: pathOf(t), log: silentLog });

describeMetadataStore("sqlite", open);

test("calls that wait together share commits, and a refused one harms no other", async (t) => {
  const groups: number[] = [];
  const observe = (name: string, value: number, labels: Readonly<Record<string, string>> = {}) => {
    if (name === "metadata_group_calls" && labels.role === "writer") groups.push(value);
  };
  const meter = { ...silentMeter, observe };
  await using store = await openSqliteStore({ path: pathOf(t), log: silentLog, meter });
  await store.createBucket(bucket("b"), { author });
  await put(store, "taken");
  groups.length = 0;
  const results = await Promise.allSettled(
    Array.from({ length: 300 }, (_, index) => {
      if (index % 3 === 0) return put(store, `k${index}`);
      if (index % 3 === 1) return put(store, `lone \ud800 ${index}`);
      const conditions = { ifAbsent: true, garbageDueAt };
      return store.commitObject(object("taken"), blob(`no ${index}`), { ...conditions, author });
    }),
  );
  const outcomes = results.map((result) =>
    result.status === "fulfilled" ? "done" : (result.reason as { code: string }).code,
  );
  const expected = ["done", "internal", "precondition_failed"];
  assert.deepEqual(
    outcomes,
    outcomes.map((_, index) => expected[index % 3]),
  );
  assert.ok(groups.length <= 4, `300 calls took ${groups.length} commits`);
  const listed = await store.listObjects({ bucket: "b", prefix: "", delimiter: "", limit: 1000 });
  assert.equal(listed.objects.length, 101);
});

test("many large pages at once do not fill a thread's memory", async (t) => {
  await using store = await openWithBucket(open, t);
  const userMetadata = { note: "照".repeat(680) };
  const keys = Array.from({ length: 1000 }, (_, index) => `${index}`.padEnd(1000, "k"));
  await Promise.all(keys.map((key) => put(store, key, { userMetadata })));
  const all = { bucket: "b", prefix: "", delimiter: "", limit: 1000 };
  const pages = Array.from({ length: 100 }, () => store.listObjects(all).then(lengthOf));
  assert.deepEqual(new Set(await Promise.all(pages)), new Set([1000]));
});

test("a read does not wait for a long write before it", async (t) => {
  await using store = await openWithBucket(open, t);
  await put(store, "k");
  const keys = Array.from({ length: 5000 }, (_, index) => `k${index}`);
  await putAll(store, keys);
  const ended: string[] = [];
  const many = Array.from({ length: 12 }, () => keys).flat();
  const writing = store.deleteObjects("b", many, { deletedAt, author, garbageDueAt });
  const written = writing.then(() => ended.push("write"));
  await store.headObject("b", "k");
  ended.push("read");
  await written;
  assert.deepEqual(ended, ["read", "write"]);
});

test("a newer schema is refused, both versions are named, and the folder is free again", async (t) => {
  await (await open(t))[Symbol.asyncDispose]();
  inDatabase(t, (database) =>
    database.exec("insert into schema_migrations values (99, 'from the future', 0)"),
  );
  for (let attempt = 0; attempt < 2; attempt += 1) {
    await assert.rejects(open(t), (error) => {
      assert.ok(isOperationalError(error, "unsupported"), String(error));
      assert.match(error.message, /version 99\b.* up to \d+\b/);
      return true;
    });
  }
});

test("a file that is no database is refused as damaged and left as it is", async (t) => {
  writeFileSync(pathOf(t), "x".repeat(10_000));
  await assert.rejects(open(t), withCode("internal"));
  assert.throws(() => inDatabase(t, (database) => database.exec("select * from sqlite_schema")));
});

test("a second store on the folder is refused until the first closes", async (t) => {
  const first = await open(t);
  await assert.rejects(open(t), (error) => {
    assert.ok(isOperationalError(error, "locked"), String(error));
    assert.ok(error.message.includes(`another Roma uses the folder ${dirname(pathOf(t))}`));
    return true;
  });
  await first.probe();
  await first[Symbol.asyncDispose]();
  await (await open(t))[Symbol.asyncDispose]();
});

test("another process's store is refused until that process is killed", async (t) => {
  const child = startChild(t, "hold", pathOf(t));
  assert.equal(await child.line(), "open");
  await assert.rejects(open(t), withCode("locked"));
  await child.kill();
  await (await open(t))[Symbol.asyncDispose]();
});

test("after closing nothing keeps the process, and the folder holds one database", async (t) => {
  const child = startChild(t, "close", pathOf(t));
  const [code] = await child.exited;
  assert.equal(code, 0);
  const files = readdirSync(dirname(pathOf(t)));
  assert.deepEqual(files.sort(), ["metadata.sqlite", "metadata.sqlite.lock"]);
});

test("a killed process loses nothing that it acknowledged", async (t) => {
  const linesMax = [1, 700, 5000];
  for (const [round, count] of linesMax.entries()) {
    const path = join(dirname(pathOf(t)), `killed-${round}.sqlite`);
    const child = startChild(t, "commit", path);
    assert.equal(await child.line(), "open");
    const acknowledged = new Map<string, string>();
    const note = (line: string) => {
      const [, key = "", version = ""] = line.split(" ");
      // Lines after the last newline may be cut; those are not whole.
      acknowledged.set(key, version);
    };
    for (let index = 0; index < count; index += 1) note((await child.line()) ?? "");
    for (const line of await child.kill()) note(line);
    assert.ok(acknowledged.size > 0);
    await using store = await openSqliteStore({ path, log: silentLog });
    await assertAllThere(store, acknowledged);
    await assertRecorded(store, acknowledged.values());
    assertWhole(path);
  }
});

test("a killed process's uploads go on where it acknowledged, or later, and whole", async (t) => {
  const child = startChild(t, "upload", pathOf(t));
  assert.equal(await child.line(), "open");
  const acknowledged = new Map<string, { readonly word: string; readonly offset: number }>();
  const note = (line: string) => {
    const [word = "", id = "", offset = ""] = line.split(" ");
    acknowledged.set(id, { word, offset: Number(offset) });
  };
  for (let index = 0; index < 1500; index += 1) note((await child.line()) ?? "");
  for (const line of await child.kill()) note(line);
  await using store = await open(t);
  let completeCount = 0;
  for (const [id, { word, offset }] of acknowledged) {
    const found = await store.getUpload(id);
    assert.ok(found !== undefined, `acknowledged ${id} is gone`);
    assert.ok(found.offset >= offset);
    if (word === "complete") assert.equal(found.phase, "complete");
    const object = await store.headObject("b", `key of ${id}`);
    assert.equal(object?.version ?? null, found.version);
    if (found.phase === "complete") completeCount += 1;
    else await assertGoesOn(store, id);
  }
  assert.ok(completeCount > 0 && completeCount < acknowledged.size);
  assert.equal((await store.bucketUsage("b")).objects, completeCount);
  await assertRecorded(store, []);
  await store[Symbol.asyncDispose]();
  assertWhole(pathOf(t));
});

test("memory does not grow with what was committed and listed", async (t) => {
  const child = startChild(t, "load", pathOf(t));
  assert.equal(await child.line(), "open");
  const grew = Number((await child.line())?.split(" ")[1]);
  assert.ok(grew < 64, `resident memory grew by ${grew} MiB`);
});

function lengthOf(page: ListPage): number {
  return page.objects.length;
}

/** A process with a store; killed after the test at the latest. */
function startChild(t: TestContext, mode: string, path: string) {
  const script = fileURLToPath(new URL("./store.child.ts", import.meta.url));
  const child: ChildProcess = spawn(process.execPath, [script, mode, path], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  t.after(() => child.kill("SIGKILL"));
  assert.ok(child.stdout !== null);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const line = async (): Promise<string | undefined> => {
    const { done, value } = await lines.next();
    return done === true ? undefined : value;
  };
  return {
    exited,
    line,
    /** Answers the lines that were still on their way. */
    async kill(): Promise<readonly string[]> {
      child.kill("SIGKILL");
      await exited;
      const rest: string[] = [];
      for (let next = await line(); next !== undefined; next = await line()) rest.push(next);
      return rest;
    },
  };
}

/** Every acknowledged version is there, or one that replaced it. */
async function assertAllThere(
  store: MetadataStore,
  acknowledged: ReadonlyMap<string, string>,
): Promise<void> {
  const indexOf = (version: string) => Number(version.split("-")[1]);
  for (const [key, version] of acknowledged) {
    const found = await store.getObject("b", key);
    assert.ok(found !== undefined, `acknowledged ${key} is gone`);
    assert.ok(indexOf(found.version) >= indexOf(version), `${key} is older than acknowledged`);
  }
}

/** The audit log is one chain, and what is there now was recorded last; as was whatever was acknowledged. */
async function assertRecorded(
  store: MetadataStore,
  versions: Iterable<string | undefined>,
): Promise<void> {
  const recorded = new Set<unknown>();
  const newest = new Map<string, unknown>();
  for (let after = 0, hasMore = true; hasMore; ) {
    const page = await store.listAudit({ after, limit: 1000 });
    for (const { line } of page.lines) {
      const { key, version } = JSON.parse(line);
      recorded.add(version);
      if (key !== undefined) newest.set(key, version);
    }
    ({ after, hasMore } = page);
  }
  for (const version of versions) assert.ok(recorded.has(version), `${version} has no record`);
  for (const [key, version] of newest) {
    assert.equal((await store.headObject("b", key))?.version, version);
  }
  const { objects } = await store.bucketUsage("b");
  assert.equal(newest.size, objects);
  assert.deepEqual((await store.verifyAudit({ after: 0, limit: 1_000_000 })).problems, []);
}

/** A checkpoint is there with everything that came with it. */
async function assertGoesOn(store: MetadataStore, id: string): Promise<void> {
  const { upload, segments } = await take(store, id, { holder: "next", now: at(200) });
  assert.equal(upload.checks?.length ?? 0, upload.offset);
  assert.equal(upload.reservedBytes, upload.offset);
  const numbers = segments.filter(({ kind }) => kind === "part").map(({ number }) => number);
  assert.deepEqual(numbers, [1, 2, 3].slice(0, upload.offset / 10));
  const tails = segments.flatMap((segment) => (segment.kind === "tail" ? [segment.blobKey] : []));
  assert.deepEqual(tails, upload.offset === 0 ? [] : [`${id}/tail ${upload.offset}`]);
}

/** SQLite's own check, and that references are counted as they are. */
function assertWhole(path: string): void {
  const database = new DatabaseSync(path, { readOnly: true });
  const check = database.prepare("pragma integrity_check").all();
  const foreign = database.prepare("pragma foreign_key_check").all();
  const miscounted = database
    .prepare(
      `select * from blobs where reference_count <> (select count(*) from objects
       where objects.storage_id = blobs.storage_id and objects.blob_key = blobs.blob_key)
       + (select count(*) from uploads where kind = 'partial' and phase = 'complete'
       and uploads.storage_id = blobs.storage_id and uploads.blob_key = blobs.blob_key)`,
    )
    .all();
  const missummed = database
    .prepare(
      `select * from bucket_usage where
         bytes <> (select coalesce(sum(length), 0) from objects where objects.bucket = bucket_usage.bucket)
         or objects <> (select count(*) from objects where objects.bucket = bucket_usage.bucket)
         or reserved_bytes <> (select coalesce(sum(reserved_bytes), 0) from uploads
           where uploads.bucket = bucket_usage.bucket)`,
    )
    .all();
  database.close();
  assert.deepEqual(missummed, []);
  assert.deepEqual(
    check.map((row) => ({ ...row })),
    [{ integrity_check: "ok" }],
  );
  assert.deepEqual(foreign, []);
  assert.deepEqual(miscounted, []);
}

function inDatabase(t: TestContext, use: (database: DatabaseSync) => void): void {
  const database = new DatabaseSync(pathOf(t));
  try {
    use(database);
  } finally {
    database.close();
  }
}

/** The test's own database, removed after it. */
function pathOf(t: TestContext): string {
  let path = paths.get(t);
  if (path === undefined) {
    const folder = mkdtempSync(join(tmpdir(), "roma-metadata-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    path = join(folder, "metadata.sqlite");
    paths.set(t, path);
  }
  return path;
}
