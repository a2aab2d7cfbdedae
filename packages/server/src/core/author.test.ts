import assert from "node:assert/strict";
import { test } from "node:test";
import type { Actor } from "./access.ts";
import { authorOf } from "./author.ts";

const policy = [{ buckets: ["*"], actions: ["*"] as const }];
const origin = { address: "192.0.2.7", via: null, requestId: "r-1", protocol: "s3" };

test("an author is who acts, and how the request came; nothing of what it may do", () => {
  const scope = { bucket: "b", key: "k", actions: ["object:write"] as const };
  const cases: readonly (readonly [Actor, object])[] = [
    [{ kind: "anonymous" }, { kind: "anonymous", id: null, origin: null }],
    [
      { kind: "key", keyId: "ROMA1", policy, origin },
      { kind: "key", id: "ROMA1", origin },
    ],
    [
      { kind: "grant", keyId: "ROMA1", policy, origin, scope: { ...scope, context: '{"user":7}' } },
      { kind: "grant", id: "ROMA1", context: '{"user":7}', origin },
    ],
    [
      { kind: "grant", keyId: "ROMA1", policy, scope: { ...scope, id: "g-1" } },
      { kind: "grant", id: "ROMA1", grantId: "g-1", origin: null },
    ],
  ];
  for (const [actor, expected] of cases) {
    assert.deepEqual(authorOf(actor), { grantId: null, context: null, ...expected });
  }
});
