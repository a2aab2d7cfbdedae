import { strict as assert } from "node:assert";
import { test } from "node:test";
import { entryOfName, pathOfKey } from "./keys.ts";

test("keys have the paths of the documented mapping", () => {
  const table: readonly (readonly [key: string, path: string])[] = [
    ["plain.txt", "plain.txt"],
    ["ab/cd/blob", "ab%/cd%/blob"],
    [".roma/x", "%2Eroma%/x"],
    ["..", "%2E."],
    ["a//b", "a%/%/b"],
    ["a/", "a%/%~"],
    ["50%", "50%25"],
    ["é", "%C3%A9"],
    ["x".repeat(80), `${"x".repeat(80)}%+/%~`],
    [`${"x".repeat(81)}/y`, `${"x".repeat(80)}%+/x%/y`],
  ];
  for (const [key, path] of table) assert.equal(pathOfKey(key), path);
});

test("no name is over 255 bytes or relative, whatever the key", () => {
  for (const unit of [".", "/", "..", "\u0000", "é", "😀", "x", "%", "./"]) {
    const key = unit.repeat(Math.floor(1024 / Buffer.byteLength(unit)));
    for (const name of pathOfKey(key).split("/")) {
      assert.ok(name.length > 0 && Buffer.byteLength(name) <= 255, name);
      assert.ok(!name.startsWith("."), name);
    }
  }
});

test("names that the mapping does not make are nobody's keys", () => {
  for (const name of [".roma", "a%2f", "%41", "a%", "%zz", "a%2", "x".repeat(80), "ü"]) {
    assert.equal(entryOfName(name, false), undefined, name);
  }
  for (const name of [".roma", "lost+found", "x%+", "folder"]) {
    assert.equal(entryOfName(name, true), undefined, name);
  }
});
