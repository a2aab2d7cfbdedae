/** Bounds of prefixes against the bytes themselves. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { compareKeys, groupOf, prefixSuccessor } from "./key-range.ts";

const characters = ["\u0001", "a", "z", "\u007f", "\u0080", "\u07ff", "\u0800", "\ud7ff"].concat([
  "\ue000",
  "\uff5e",
  "\uffff",
  "\u{10000}",
  "\u{1f600}",
  "\u{10fffe}",
  "\u{10ffff}",
]);
const texts = ["", ...characters].flatMap((first) => ["", ...characters].map((c) => first + c));

test("a text begins with a prefix exactly when it is between the prefix and its successor", () => {
  for (const prefix of texts) {
    const end = prefixSuccessor(prefix);
    assert.ok(end === undefined || end.isWellFormed());
    for (const text of texts) {
      const within =
        compareKeys(text, prefix) >= 0 && (end === undefined || compareKeys(text, end) < 0);
      assert.equal(within, text.startsWith(prefix), JSON.stringify({ prefix, text, end }));
    }
  }
});

test("nothing is above the empty prefix and prefixes of the last character", () => {
  for (const prefix of ["", "\u{10ffff}", "\u{10ffff}\u{10ffff}"]) {
    assert.equal(prefixSuccessor(prefix), undefined);
  }
  assert.equal(prefixSuccessor("a\u{10ffff}"), "b");
  assert.equal(prefixSuccessor("\ud7ff"), "\ue000");
});

test("a group ends with the first delimiter after the prefix", () => {
  const cases = [
    ["a/b/c", "", "/", "a/"],
    ["a/b/c", "a/", "/", "a/b/"],
    ["a/b/c", "a/b", "/", "a/b/"],
    ["a/b/c", "a/b/", "/", undefined],
    ["a/b/c", "x", "/", undefined],
    ["a/b/c", "", "", undefined],
    ["a:::b", "a", "::", "a::"],
    ["a:b", "", "::", undefined],
  ] as const;
  for (const [key, prefix, delimiter, group] of cases) {
    assert.equal(groupOf(key, { prefix, delimiter }), group);
  }
});
