/** Migrations over SQLite: each once, whole or not at all, never on a newer schema. */
import { strict as assert } from "node:assert";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import {
  DummyDriver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  sql,
} from "kysely";
import { isOperationalError } from "../../core/errors.ts";
import { postgresEngine, sqliteEngine } from "../migrations/engine.ts";
import { type Migration, migrate, migrations, schemaVersion } from "../migrations/migrate.ts";
import type { Schema } from "../schema.ts";
import { sqliteDialect } from "./dialect.ts";

const now = () => new Date(0);
const open = () => new Kysely<Schema>({ dialect: sqliteDialect(new DatabaseSync(":memory:")) });
const creating = (number: number, text: string): Migration => ({
  number,
  name: `creates-${number}`,
  apply: async (db) => {
    await sql.raw(text).execute(db);
  },
});

test("migrations are numbered from 1 without gaps", () => {
  assert.deepEqual(
    migrations.map(({ number }) => number),
    migrations.map((_, index) => index + 1),
  );
});

test("each migration is applied once, in order", async () => {
  const db = open();
  const [one, two] = [creating(1, "create table one (x)"), creating(2, "create table two (x)")];
  assert.deepEqual(await migrate(db, { engine: sqliteEngine, now, known: [one] }), [1]);
  assert.deepEqual(await migrate(db, { engine: sqliteEngine, now, known: [one, two] }), [2]);
  assert.deepEqual(await migrate(db, { engine: sqliteEngine, now, known: [one, two] }), []);
  assert.equal(await schemaVersion(db), 2);
});

test("a migration that fails leaves nothing of itself, and those before it stay", async () => {
  const db = open();
  const known = [
    creating(1, "create table one (x)"),
    {
      ...creating(2, ""),
      apply: async (trx: Kysely<Schema>) => {
        await sql.raw("create table two (x)").execute(trx);
        throw new Error("half-way");
      },
    },
  ];
  await assert.rejects(migrate(db, { engine: sqliteEngine, now, known }), /half-way/);
  assert.equal(await schemaVersion(db), 1);
  const tables = await sql<{ name: string }>`select name from sqlite_schema`.execute(db);
  assert.deepEqual(
    tables.rows.map(({ name }) => name).filter((name) => name === "one" || name === "two"),
    ["one"],
  );
});

test("a schema newer than the code is refused, and both versions are named", async () => {
  const db = open();
  const [one, two] = [creating(1, "create table one (x)"), creating(2, "create table two (x)")];
  await migrate(db, { engine: sqliteEngine, now, known: [one, two] });
  await assert.rejects(migrate(db, { engine: sqliteEngine, now, known: [one] }), (error) => {
    assert.ok(isOperationalError(error, "unsupported"));
    assert.match(error.message, /version 2\b.* up to 1\b/);
    return true;
  });
});

test("the usage of buckets that are there is counted when its table is made", async () => {
  const db = open();
  const apply = (count: number) =>
    migrate(db, { engine: sqliteEngine, now, known: migrations.slice(0, count) });
  await apply(2);
  const insert = (text: string) => sql.raw(`insert into ${text}`).execute(db);
  for (const name of ["full", "empty"]) {
    await insert(
      `buckets (name, visibility, upload_expiry_ms, placement, created_at)
       values ('${name}', 'private', 1, '"local"', 0)`,
    );
  }
  const lengths = [5, 0, 5_000_000_000_000];
  for (const [index, length] of lengths.entries()) {
    await insert(
      `blobs (storage_id, blob_key, length, reference_count, crc64nvme)
       values ('local', 'x${index}', ${length}, 1, x'0000000000000000')`,
    );
    await insert(
      `objects (bucket, key, version, etag, content_type, created_at, length, storage_id,
         blob_key, crc64nvme, user_metadata)
       values ('full', 'k${index}', 'v', 'e', 't', 0, ${length}, 'local', 'x${index}',
         x'0000000000000000', '{}')`,
    );
  }
  assert.deepEqual(await apply(3), [3]);
  const usage = await db.selectFrom("bucket_usage").selectAll().execute();
  assert.deepEqual(
    usage.map((row) => ({ ...row })),
    [
      { bucket: "empty", bytes: 0, objects: 0, reserved_bytes: 0 },
      { bucket: "full", bytes: 5_000_000_000_005, objects: 3, reserved_bytes: 0 },
    ],
  );
});

test("in PostgreSQL too every ordered column compares bytes", async () => {
  const statements: string[] = [];
  const db = new Kysely<Schema>({
    dialect: {
      createAdapter: () => new PostgresAdapter(),
      createDriver: () => new DummyDriver(),
      createIntrospector: (kysely) => new PostgresIntrospector(kysely),
      createQueryCompiler: () => new PostgresQueryCompiler(),
    },
    log: (event) => {
      statements.push(event.query.sql);
    },
  });
  await migrate(db, { engine: postgresEngine, now });
  const objects = statements.find((text) => text.startsWith('create table "objects"')) ?? "";
  assert.match(objects, /"key" text collate "C" not null/);
  assert.match(objects, /"bucket" text collate "C" not null/);
  assert.match(objects, /"length" bigint not null/);
  assert.doesNotMatch(statements.join("\n"), /rowid|\bblob not null/);
});
