/** What the SDK makes for backends is what the server takes, to the letter. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { mintGrant, temporaryCredentials, verifyGrant } from "@roma/sdk/server";
import { temporarySecret } from "../../packages/server/src/authentication/signer.ts";
import {
  grantKeyId,
  looksLikeGrant,
  signGrant,
  verifyGrant as verifyAtServer,
} from "../../packages/server/src/core/grants.ts";

const signer = { keyId: "ROMAKEY", secret: "a-secret-of-some-length" };
const now = new Date("2026-01-31T12:00:00Z");
const scope = {
  bucket: "photos",
  prefix: "u/7/",
  template: "u/7/{date}/{uuid}{ext}",
  actions: ["object:write", "object:read"] as const,
  methods: ["PUT"],
  minBytes: 1,
  maxBytes: 9,
  contentTypes: ["image/*"],
  count: 3,
  context: { user: 7, name: "日本" },
};

test("the server reads a grant of the SDK as it was meant", () => {
  const grant = mintGrant({ ...signer, ...scope, now, lifetimeSeconds: 60, id: "g" });
  assert.equal(looksLikeGrant(grant), true);
  assert.equal(grantKeyId(grant), signer.keyId);
  const { count, context, ...others } = scope;
  const expiresAt = new Date("2026-01-31T12:01:00Z");
  assert.deepEqual(verifyAtServer(grant, signer.secret, now), {
    ...others,
    id: "g",
    use: { id: "ROMAKEY/g", usesMax: count, expiresAt },
    context: JSON.stringify(context),
  });
});

test("the SDK reads a grant of the server, and derives the secret that it derives", () => {
  const expiresAt = new Date("2026-01-31T12:01:00Z");
  const grant = signGrant({ ...scope, jti: "g" }, signer, expiresAt);
  const at = { ...signer, now };
  assert.deepEqual(verifyGrant(grant, at), { ...scope, keyId: "ROMAKEY", id: "g", expiresAt });
  const { secretAccessKey } = temporaryCredentials(grant, at);
  assert.equal(secretAccessKey, temporarySecret(grant, signer.secret));
});
