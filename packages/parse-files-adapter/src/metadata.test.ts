import assert from "node:assert/strict";
import { test } from "node:test";
import { fileFactsOf, userMetadataOf } from "./metadata.ts";

test("metadata and tags come back as they were, capitals and nested values too", () => {
  const facts = {
    metadata: { createdBy: "Zoë", Size: 7, nested: { a: [1, null] }, __proto__key: true },
    tags: { groupId: "some", "a b": "c" },
  };
  const kept = userMetadataOf(facts);
  assert.deepEqual(Object.keys(kept), ["parse-metadata", "parse-tags"]);
  assert.deepEqual(fileFactsOf(kept), facts);
});

test("nothing is kept of nothing", () => {
  assert.deepEqual(userMetadataOf({}), {});
  assert.deepEqual(userMetadataOf({ metadata: {}, tags: {} }), {});
  assert.deepEqual(fileFactsOf({}), { metadata: {} });
});

test("what another way in has stored is shown, and what is no JSON does no harm", () => {
  assert.deepEqual(fileFactsOf({ colour: "red" }), { metadata: { colour: "red" } });
  const broken = { "parse-metadata": "{", "parse-tags": "[1]" };
  assert.deepEqual(fileFactsOf(broken), { metadata: {}, tags: {} });
});

test("more than an object can have is refused with both figures", () => {
  assert.throws(
    () => userMetadataOf({ metadata: { text: "é".repeat(1024) } }),
    /metadata and tags have 2\d{3} bytes as JSON, more than 2048/,
  );
});
