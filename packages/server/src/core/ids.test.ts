import assert from "node:assert/strict";
import { test } from "node:test";
import { blobKeyFolder, newBlobKey, newVersion, versionOfBlobKey } from "./ids.ts";

test("a version is a UUID 7 as hex, and later ones sort after earlier ones", () => {
  const early = newVersion(new Date("2026-01-01T00:00:00Z"));
  const late = newVersion(new Date("2026-01-01T00:00:00.001Z"));
  assert.match(early, /^[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}$/);
  assert.equal(Number.parseInt(early.slice(0, 12), 16), Date.parse("2026-01-01T00:00:00Z"));
  assert.ok(early < late);
});

test("versions of one moment differ", () => {
  const now = new Date();
  assert.equal(new Set(Array.from({ length: 10_000 }, () => newVersion(now))).size, 10_000);
});

test("a blob key begins with its minute, and sorts after every folder of an earlier one", () => {
  const now = new Date("2026-11-05T23:59:58Z");
  const version = newVersion(now);
  const key = newBlobKey("abc", now, version);
  assert.equal(key, `b/abc/20261105/2359/${version}`);
  assert.equal(versionOfBlobKey(key), version);
  assert.ok(key > blobKeyFolder("abc", now));
  assert.ok(key < blobKeyFolder("abc", new Date("2026-11-06T00:00:00Z")));
});
