/** How SQLite finds uploads: by an index, whatever the number of uploads that it does not want. */
import { strict as assert } from "node:assert";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { Kysely } from "kysely";
import { at, author, blob, bucket, object, upload } from "../conformance-samples.ts";
import { sqliteEngine } from "../migrations/engine.ts";
import { migrate } from "../migrations/migrate.ts";
import { reads, writes } from "../queries/operations.ts";
import type { Database, Schema } from "../schema.ts";
import { sqliteDialect } from "./dialect.ts";

/** Runs it and answers the plan of each statement on the tables, which are those of uploads. */
async function plansOf(
  run: (db: Database) => Promise<unknown>,
  tables = /uploads|upload_/,
): Promise<readonly string[]> {
  const raw = new DatabaseSync(":memory:");
  const queries: string[] = [];
  const db: Database = new Kysely<Schema>({
    dialect: sqliteDialect(raw),
    log: ({ query }) => {
      queries.push(query.sql);
    },
  });
  await migrate(db, { engine: sqliteEngine, now: () => new Date(0) });
  await writes.createBucket(db, bucket("b"), { author, at: at(0) });
  await writes.createUpload(db, upload("u"), { openMax: 1 });
  queries.length = 0;
  await run(db);
  const plans = queries.flatMap((query) =>
    raw
      .prepare(`explain query plan ${query}`)
      .all()
      .map(({ detail }) => String(detail)),
  );
  raw.close();
  return plans.filter((plan) => tables.test(plan));
}

const lease = { holder: "h", now: at(1), until: at(2) };

const inParts = { bucket: "b", prefix: "a", delimiter: "/", limit: 9 };

const cases: readonly {
  readonly what: string;
  readonly run: (db: Database) => Promise<unknown>;
  readonly index?: string;
}[] = [
  { what: "one by its id", run: (db) => reads.getUpload(db, "u") },
  { what: "a lease", run: (db) => writes.takeUpload(db, "u", lease) },
  {
    what: "a renewal",
    run: (db) => writes.renewUploads(db, [{ id: "u", fence: 0 }], lease),
  },
  {
    what: "the open ones of an owner",
    run: (db) => writes.createUpload(db, upload("v"), { openMax: 9 }),
    index: "uploads_running_by_owner",
  },
  {
    what: "those of a bucket",
    run: (db) => reads.listUploads(db, { bucket: "b", after: "a", limit: 9 }),
    index: "uploads_by_bucket",
  },
  {
    what: "the expired",
    run: (db) => reads.listUploadsDue(db, { now: at(1), limit: 9 }),
    index: "uploads_by_expiry",
  },
  {
    what: "those at their end",
    run: (db) => reads.listUploadsDue(db, { now: at(1), limit: 9 }),
    index: "uploads_ending",
  },
  {
    what: "the owners of places",
    run: (db) => reads.uploadsOwning(db, "local", ["x", "y"]),
    index: "uploads_by_place",
  },
  {
    what: "tails",
    run: (db) => reads.knownBlobs(db, "local", ["x", "y"]),
    index: "upload_segments_by_blob",
  },
  {
    what: "the unfinished of a storage",
    run: (db) => writes.deleteStorage(db, "local", { author, at: at(0) }).catch(() => {}),
    index: "uploads_by_place",
  },
  {
    what: "parts by their blobs",
    run: (db) => reads.knownBlobs(db, "local", ["x", "y"]),
    index: "upload_parts_by_blob",
  },
  {
    what: "its parts",
    run: (db) => reads.listUploadParts(db, "u", { after: 1, limit: 9 }),
  },
  {
    what: "those in parts, behind a key and an id",
    run: (db) => reads.listMultipart(db, { ...inParts, after: { key: "ab", id: "i" } }),
    index: "uploads_multipart_by_key",
  },
  {
    what: "those in parts, behind a key",
    run: (db) => reads.listMultipart(db, { ...inParts, after: { key: "ab" } }),
    index: "uploads_multipart_by_key",
  },
  { what: "its segments", run: (db) => writes.cancelUpload(db, "u") },
];

test("objects are found by their SHA-256 without a scan", async () => {
  const bytes = { bucket: "b", sha256: new Uint8Array(32), length: 1 };
  const plans = await plansOf((db) => reads.findObjects(db, bytes), /objects/);
  assert.equal(plans.length, 1);
  assert.match(plans[0] ?? "", /^SEARCH objects USING INDEX objects_by_sha256/);
});

const trash = { bucket: "b", limit: 9 };
const behind = { id: 7, key: "ab", deletedAt: at(1) };
const window = { deletedAfter: at(1), deletedBefore: at(2) };
const restoring = { author, at: at(1), ifExists: "skip", now: at(1), garbageDueAt: at(1) } as const;
const trashed = async (db: Database) => {
  await writes.commitObject(db, object("k"), blob("k"), { author, at: at(1), garbageDueAt: at(1) });
  await writes.changeBucket(db, "b", { trashMs: 1 }, { author, at: at(1) });
  await writes.deleteObject(db, "b", "k", {
    author,
    at: at(1),
    deletedAt: at(1),
    garbageDueAt: at(1),
  });
};

const trashCases: readonly {
  readonly what: string;
  readonly run: (db: Database) => Promise<unknown>;
  readonly index: string;
}[] = [
  {
    what: "a list by prefix",
    run: (db) => reads.listTrash(db, { ...trash, ...window, prefix: "a", after: behind }),
    index: "trash_by_key (bucket=? AND key>? AND key<?)",
  },
  {
    what: "a list by time",
    run: (db) => reads.listTrash(db, { ...trash, ...window, prefix: "", after: behind }),
    index: "trash_by_time (bucket=? AND",
  },
  {
    what: "a list by bulk delete",
    run: (db) => reads.listTrash(db, { ...trash, prefix: "", jobId: "j", after: behind }),
    index: "trash_by_job (job_id=? AND id>?)",
  },
  {
    what: "a restore by time, which asks for the newest of each key",
    run: async (db) => {
      await trashed(db);
      await writes.restoreTrash(db, { ...trash, prefix: "" }, restoring);
    },
    index: "trash_by_key (bucket=? AND key=?",
  },
  {
    what: "a purge by prefix",
    run: async (db) => {
      await trashed(db);
      await writes.purgeTrash(db, { ...trash, prefix: "k" }, restoring);
    },
    index: "trash_by_key (bucket=? AND",
  },
  {
    what: "what is due",
    run: (db) =>
      writes.purgeTrashDue(db, {
        author,
        at: at(1),
        dueBefore: at(1),
        garbageDueAt: at(1),
        limit: 9,
      }),
    index: "trash_due (purge_due_at<?)",
  },
];

for (const { what, run, index } of trashCases) {
  test(`the trash is read without a scan or a sort: ${what}`, async () => {
    const plans = await plansOf(run, /trash|TEMP B-TREE/);
    assert.ok(
      plans.some((plan) => plan.includes(index)),
      plans.join("\n"),
    );
    for (const plan of plans) assert.ok(!/^SCAN|TEMP B-TREE/.test(plan), plan);
  });
}

test("the deletes of an hour are summed up without a scan", async () => {
  const capped = { author, at: at(1), deletedAt: at(1), garbageDueAt: at(1), deletesPerHour: 1 };
  const plans = await plansOf(async (db) => {
    await writes.commitObject(db, object("k"), blob("k"), {
      author,
      at: at(1),
      garbageDueAt: at(1),
    });
    await writes.deleteObject(db, "b", "k", capped);
  }, /delete_counts/);
  assert.equal(plans.length, 2);
  for (const plan of plans) {
    assert.match(plan, /^SEARCH delete_counts USING PRIMARY KEY \(bucket=\? AND minute[<>]\?\)/);
  }
});

test("the audit log is read along its chain and by time, and never sorted", async () => {
  const plans = await plansOf(async (db) => {
    await reads.listAudit(db, { after: 1, limit: 9, since: at(0) });
    await reads.verifyAudit(db, { after: 1, limit: 9 });
    await writes.pruneAudit(db, { author, at: at(1), before: at(0), limit: 9 });
  }, /audit|TEMP B-TREE/);
  assert.ok(plans.length > 0);
  for (const plan of plans) assert.match(plan, /^SEARCH|^SCAN audit$/, plan);
  assert.ok(plans.some((plan) => plan.includes("audit_by_time")));
});

for (const { what, run, index } of cases) {
  test(`uploads are found without a scan: ${what}`, async () => {
    const plans = await plansOf(run);
    assert.ok(plans.length > 0);
    for (const plan of plans) {
      // A scan along a partial index reads only what is wanted.
      assert.ok(!/^SCAN/.test(plan) || /INDEX uploads_ending/.test(plan), plan);
    }
    if (index !== undefined) {
      assert.ok(
        plans.some((plan) => plan.includes(index)),
        plans.join("\n"),
      );
    }
  });
}
