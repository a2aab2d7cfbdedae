import assert from "node:assert/strict";
import { test } from "node:test";
import type { PolicyStatementJson } from "@roma/contract";
import {
  type Action,
  type Actor,
  anonymous,
  authorize,
  authorizeRead,
  isAllowed,
  type Target,
} from "./access.ts";
import { isOperationalError } from "./errors.ts";
import type { BucketRecord } from "./ports/metadata-store.ts";

const key = (...policy: PolicyStatementJson[]): Actor => ({ kind: "key", keyId: "K", policy });
const everything: PolicyStatementJson = { buckets: ["*"], actions: ["*"] };
const photosOnly: PolicyStatementJson = {
  buckets: ["photos"],
  prefixes: ["2026/"],
  actions: ["object:read", "object:list"],
};

const table: readonly [
  what: string,
  actor: Actor,
  action: Action,
  target: Target,
  allowed: boolean,
][] = [
  ["nobody", anonymous, "object:read", { bucket: "photos", key: "a" }, false],
  ["an empty policy", key(), "object:read", { bucket: "photos", key: "a" }, false],
  ["the root policy", key(everything), "key:write", {}, true],
  [
    "its bucket and prefix",
    key(photosOnly),
    "object:read",
    { bucket: "photos", key: "2026/a" },
    true,
  ],
  ["another prefix", key(photosOnly), "object:read", { bucket: "photos", key: "2025/a" }, false],
  ["another bucket", key(photosOnly), "object:read", { bucket: "photos2", key: "2026/a" }, false],
  ["another action", key(photosOnly), "object:write", { bucket: "photos", key: "2026/a" }, false],
  [
    "a list inside the prefix",
    key(photosOnly),
    "object:list",
    { bucket: "photos", prefix: "2026/0" },
    true,
  ],
  [
    "a list wider than the prefix",
    key(photosOnly),
    "object:list",
    { bucket: "photos", prefix: "20" },
    false,
  ],
  [
    "a statement about keys, for the bucket itself",
    key({ buckets: ["photos"], prefixes: [""], actions: ["*"] }),
    "bucket:delete",
    { bucket: "photos" },
    false,
  ],
  [
    "a bucket pattern",
    key({ buckets: ["team-*"], actions: ["*"] }),
    "bucket:write",
    { bucket: "team-a" },
    true,
  ],
  [
    "a bucket pattern, for the server",
    key({ buckets: ["team-*"], actions: ["*"] }),
    "key:read",
    {},
    false,
  ],
];

for (const [what, actor, action, target, allowed] of table) {
  test(`${what}: ${action} is ${allowed ? "allowed" : "refused"}`, () => {
    assert.equal(isAllowed(actor, action, target), allowed);
  });
}

const grant = (scope: object, policy: readonly PolicyStatementJson[] = [everything]): Actor => ({
  kind: "grant",
  keyId: "K",
  policy,
  scope: { bucket: "photos", actions: ["object:read"], ...scope },
});

test("a grant reaches its key or prefix, its bucket and its actions only", () => {
  const at = (actor: Actor, name: string, action: Action = "object:read", bucket = "photos") =>
    isAllowed(actor, action, { bucket, key: name });
  assert.equal(at(grant({ key: "a" }), "a"), true);
  assert.equal(at(grant({ key: "a" }), "ab"), false);
  assert.equal(at(grant({ prefix: "a" }), "ab"), true);
  assert.equal(at(grant({ prefix: "a" }), "b"), false);
  assert.equal(at(grant({ prefix: "" }), "b", "object:write"), false);
  assert.equal(at(grant({ prefix: "" }), "b", "object:read", "other"), false);
  assert.equal(
    isAllowed(grant({ key: "a" }), "object:list", { bucket: "photos", prefix: "a" }),
    false,
  );
});

test("a grant never allows more than the key that signed it", () => {
  const actor = grant({ prefix: "", actions: ["object:read", "object:write"] }, [photosOnly]);
  assert.equal(isAllowed(actor, "object:read", { bucket: "photos", key: "2026/a" }), true);
  assert.equal(isAllowed(actor, "object:read", { bucket: "photos", key: "2025/a" }), false);
  assert.equal(isAllowed(actor, "object:write", { bucket: "photos", key: "2026/a" }), false);
});

test("nobody is unauthenticated, somebody is denied; public buckets are read by all", () => {
  const target = { bucket: "b", key: "k" };
  const code = (expected: "unauthenticated" | "access_denied") => (error: unknown) =>
    isOperationalError(error, expected);
  assert.throws(() => authorize(anonymous, "object:read", target), code("unauthenticated"));
  assert.throws(() => authorize(key(), "object:read", target), code("access_denied"));
  const bucket = { visibility: "public-read" } as BucketRecord;
  authorizeRead(anonymous, bucket, target);
  assert.throws(
    () => authorize(anonymous, "object:list", { bucket: "b", prefix: "" }),
    code("unauthenticated"),
  );
});
