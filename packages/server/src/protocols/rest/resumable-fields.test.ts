import assert from "node:assert/strict";
import { test } from "node:test";
import { completeness, dialects, spokenDialect } from "./resumable-dialects.ts";
import { formatCountsField, parseBooleanField, parseCountField } from "./resumable-fields.ts";

test("a Boolean item is ?0 or ?1, with parameters or without; all else is no field", () => {
  const good: readonly (readonly [string, boolean])[] = [
    ["?1", true],
    ["?0", false],
    [" ?1 ", true],
    ["?1;a", true],
    ['?0; a=1;b="x, \\"y\\"";c=tok/en:*;d=:YQ==:;e=?1;f=-1.5;g=@1', false],
  ];
  for (const [text, value] of good) assert.equal(parseBooleanField(text), value, text);
  const bad = [
    "",
    "1",
    "true",
    "?2",
    "?",
    "?1, ?1",
    "?1,",
    "?1;",
    "?1;A",
    "?1;a=",
    '?1;a="',
    "? 1",
  ];
  for (const text of [...bad, "\t?1", `?1${";a".repeat(600)}`]) {
    assert.equal(parseBooleanField(text), undefined, text);
  }
  assert.equal(parseBooleanField(undefined), undefined);
  assert.equal(parseBooleanField(["?1", "?1"]), undefined);
});

test("an Integer item has 15 digits at most, and an offset is never negative", () => {
  const good: readonly (readonly [string, number])[] = [
    ["0", 0],
    ["00", 0],
    ["5497558138880", 5497558138880],
    ["999999999999999", 999_999_999_999_999],
    ["7;x=1", 7],
  ];
  for (const [text, value] of good) assert.equal(parseCountField(text), value, text);
  const bad = ["", "-1", "+1", "1.0", "1e3", "0x1", "1, 1", "1 1", "1000000000000000", '"1"', "?1"];
  for (const text of bad) assert.equal(parseCountField(text), undefined, text);
});

test("a dictionary of integers keeps its order", () => {
  assert.equal(formatCountsField({ "max-size": 5, "max-age": 0 }), "max-size=5, max-age=0");
});

test("the version in the request names the dialect; unknown ones are taken for the newest, unnamed", () => {
  const versions: readonly (readonly [Record<string, string>, number, boolean])[] = [
    ...dialects.map(({ version }) => {
      return [{ "upload-draft-interop-version": String(version) }, version, true] as const;
    }),
    [{ "upload-draft-interop-version": "9" }, 8, false],
    [{ "upload-draft-interop-version": "six" }, 8, false],
    [{ "upload-complete": "?1" }, 8, false],
    [{ "upload-incomplete": "?1" }, 3, false],
  ];
  for (const [headers, version, named] of versions) {
    const spoken = spokenDialect(headers);
    assert.equal(spoken.dialect.version, version);
    assert.equal(spoken.named, named);
  }
  const oldest = spokenDialect({ "upload-draft-interop-version": "3" });
  assert.equal(completeness({ "upload-incomplete": "?1" }, oldest), false);
  assert.equal(completeness({ "upload-incomplete": "?0" }, oldest), true);
  assert.equal(completeness({ "upload-complete": "?1" }, oldest), undefined);
});
