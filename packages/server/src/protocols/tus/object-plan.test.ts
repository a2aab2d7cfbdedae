// What becomes of an upload's metadata: key, content type, user metadata.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Actor, GrantScope } from "../../core/access.ts";
import { assertUserMetadata } from "../../core/write-limits.ts";
import { parseMetadata } from "./metadata.ts";
import { objectPlan } from "./object-plan.ts";
import { base64, metadata } from "./testing.ts";

const somebody: Actor = { kind: "key", keyId: "K", policy: [] };

function holder(scope: Pick<GrantScope, "key" | "prefix" | "template">): Actor {
  const actions = ["object:write"] as const;
  return { kind: "grant", keyId: "K", policy: [], scope: { bucket: "demo", actions, ...scope } };
}

function plan(text: string, actor: Actor = somebody) {
  return objectPlan(parseMetadata(text), { actor, now: new Date("2026-01-31T23:59:59Z") });
}

/** With names that the server makes as `ID`. */
function keyOf(text: string, actor: Actor = somebody): string {
  return plan(text, actor).key.replace(/\b[0-9a-f]{32}\b/, "ID");
}

test("the key: named, the grant's, or new with the file's name", () => {
  const cases: readonly [string, Readonly<Record<string, string>>, Actor][] = [
    ["a/b", { key: "a/b", filename: "c.txt" }, somebody],
    ["ID/c.txt", { filename: "c.txt" }, somebody],
    ["ID/n.txt", { name: "n.txt" }, somebody],
    ["ID/f.txt", { name: "n.txt", filename: "f.txt" }, somebody],
    ["ID/passwd", { filename: "../../etc/passwd" }, somebody],
    ["ID/x.exe", { filename: "C:\\dir\\x.exe" }, somebody],
    ["ID/file", { filename: ".." }, somebody],
    ["ID/ab", { filename: "a\0\r\nb" }, somebody],
    ["ID/日本.png", { filename: "日本.png" }, somebody],
    ["ID", {}, somebody],
    ["ID", { filename: "" }, somebody],
    ["mine/ID/c.txt", { filename: "c.txt" }, holder({ prefix: "mine/" })],
    ["mine/k", { key: "mine/k" }, holder({ prefix: "mine/" })],
    ["one", { filename: "c.txt" }, holder({ key: "one" })],
    ["one", {}, holder({ key: "one" })],
    ["d/2026-01-31/c.txt", { filename: "c.txt" }, holder({ template: "d/{date}/{filename}" })],
  ];
  for (const [key, pairs, actor] of cases) {
    assert.equal(keyOf(metadata(pairs), actor), key, JSON.stringify(pairs));
  }
  assert.equal(keyOf(`filename ${base64(Buffer.of(0xff))}`), "ID");
  for (const bad of ["key", `key ${base64(Buffer.of(0xff))}`, metadata({ key: "a/../b" })]) {
    assert.throws(() => plan(bad), { code: "invalid_key" }, bad);
  }
});

test("the content type: filetype, else type, if it is one", () => {
  for (const [type, pairs] of [
    ["image/png", { filetype: "image/png", type: "text/plain" }],
    ["text/plain", { type: "text/plain" }],
    ["text/plain", { filetype: "", type: "text/plain" }],
    [undefined, { filetype: "null" }],
    [undefined, { filetype: "a/b\r\nx: y" }],
    [undefined, {}],
  ] as const) {
    assert.equal(plan(metadata(pairs)).contentType, type);
  }
});

test("user metadata: what fits, in order; the rest stays in the raw field", () => {
  const given = [
    `Author ${base64("Ann")}`,
    `author ${base64("Bob")}`,
    `emoji ${base64("🙂")}`,
    `binary ${base64(Buffer.of(0xff, 0))}`,
    `nul ${base64("a\0b")}`,
    `a/b ${base64("c")}`,
    `__proto__ ${base64("p")}`,
    `constructor ${base64("c")}`,
    "bare",
    `filename ${base64("f.txt")}`,
    `name ${base64("f.txt")}`,
    `big ${base64("x".repeat(2048))}`,
    `small ${base64("y")}`,
    `key ${base64("k")}`,
    `filetype ${base64("text/plain")}`,
  ].join(",");
  const { userMetadata } = plan(given);
  assert.deepEqual(Object.entries(userMetadata), [
    ["author", "Ann"],
    ["emoji", "🙂"],
    ["__proto__", "p"],
    ["constructor", "c"],
    ["bare", ""],
    ["filename", "f.txt"],
    ["small", "y"],
  ]);
  assertUserMetadata(userMetadata);
});
