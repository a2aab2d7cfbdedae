/** Each of SQLite's results has the code that a caller can act on. */
import { strict as assert } from "node:assert";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { OperationalError } from "../../core/errors.ts";
import { classify } from "./errors.ts";

const path = join(tmpdir(), "metadata.sqlite");
const sqliteError = (errcode: number) => Object.assign(new Error("from SQLite"), { errcode });

test("SQLite's results are classified by their extended codes", () => {
  for (const [errcode, code, retryable] of [
    [5, "unavailable", true], // SQLITE_BUSY
    [517, "unavailable", true], // SQLITE_BUSY_SNAPSHOT
    [13, "storage_full", true], // SQLITE_FULL
    [4874, "storage_full", true], // SQLITE_IOERR_SHMSIZE
    [778, "unavailable", true], // SQLITE_IOERR_WRITE, on a disk with room
    [11, "internal", false], // SQLITE_CORRUPT
    [267, "internal", false], // SQLITE_CORRUPT_VTAB
    [26, "internal", false], // SQLITE_NOTADB
    [787, "internal", false], // SQLITE_CONSTRAINT_FOREIGNKEY
  ] as const) {
    const error = classify(sqliteError(errcode), path);
    assert.deepEqual([error.code, error.retryable], [code, retryable], `${errcode}`);
    assert.deepEqual(error.context, { sqliteCode: errcode });
    assert.equal(error.message.includes("from SQLite"), false);
  }
});

test("an operational error stays itself and any other becomes internal with its cause", () => {
  const refusal = new OperationalError("not_empty", "x");
  assert.equal(classify(refusal, path), refusal);
  const defect = new TypeError("secret detail");
  const error = classify(defect, path);
  assert.deepEqual([error.code, error.cause], ["internal", defect]);
  assert.equal(error.message.includes("secret"), false);
});
