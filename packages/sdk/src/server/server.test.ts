import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type GrantOptions,
  isRomaError,
  mintGrant,
  temporaryCredentials,
  verifyGrant,
} from "./index.ts";

const signer = { keyId: "ROMAKEY", secret: "a-secret-of-some-length" };
const now = new Date("2026-01-31T12:00:00.500Z");
const options: GrantOptions = {
  ...signer,
  bucket: "photos",
  template: "u/7/{date}/{uuid}{ext}",
  prefix: "u/7/",
  actions: ["object:write"],
  maxBytes: 20_000_000,
  contentTypes: ["image/*"],
  count: 3,
  context: { user: 7 },
  lifetimeSeconds: 60,
  id: "grant-1",
  now,
};

test("a grant comes back as it was made", () => {
  assert.deepEqual(verifyGrant(mintGrant(options), { ...signer, now }), {
    bucket: "photos",
    template: "u/7/{date}/{uuid}{ext}",
    prefix: "u/7/",
    actions: ["object:write"],
    maxBytes: 20_000_000,
    contentTypes: ["image/*"],
    count: 3,
    context: { user: 7 },
    keyId: "ROMAKEY",
    id: "grant-1",
    expiresAt: new Date("2026-01-31T12:01:00Z"),
  });
});

test("each grant has a name of its own, and holds for 15 minutes", () => {
  const { id: _, lifetimeSeconds: __, ...others } = options;
  const [one, other] = [mintGrant(others), mintGrant(others)].map((grant) =>
    verifyGrant(grant, { ...signer, now }),
  );
  assert.notEqual(one?.id, other?.id);
  assert.deepEqual(one?.expiresAt, new Date("2026-01-31T12:15:00Z"));
});

test("another secret, another key, a changed claim and a late one are refused", () => {
  const grant = mintGrant(options);
  const [header, payload = "", signature] = grant.split(".");
  const wider = Buffer.from(
    JSON.stringify({ ...JSON.parse(Buffer.from(payload, "base64url").toString()), count: 9 }),
  ).toString("base64url");
  const cases: readonly [string, object, string][] = [
    [grant, { secret: "another-secret" }, "unauthenticated"],
    [grant, { keyId: "OTHER" }, "unauthenticated"],
    [`${header}.${wider}.${signature}`, {}, "unauthenticated"],
    [`${grant}.x`, {}, "unauthenticated"],
    ["nonsense", {}, "unauthenticated"],
    [grant, { now: new Date("2026-01-31T12:01:00Z") }, "expired"],
  ];
  for (const [token, changes, code] of cases) {
    assert.throws(
      () => verifyGrant(token, { ...signer, now, ...changes }),
      (error) => isRomaError(error) && error.code === code,
      code,
    );
  }
});

test("what the server would refuse is refused here", () => {
  const bad: readonly Partial<GrantOptions>[] = [
    { secret: "" },
    { bucket: "" },
    { key: "k" },
    { actions: [] },
    { template: "out/{uuid}" },
    { template: "u/7/{name}" },
    { template: "u/7/{uuid" },
    { count: 0 },
    { count: 1.5 },
    { context: "x".repeat(1023) },
    { lifetimeSeconds: 0 },
    { lifetimeSeconds: 604_801 },
    { lifetimeSeconds: Number.NaN },
  ];
  for (const changes of bad) {
    assert.throws(
      () => mintGrant({ ...options, ...changes }),
      (error) => isRomaError(error, "invalid_request"),
      JSON.stringify(changes),
    );
  }
});

test("temporary credentials are of the grant and its key", () => {
  const grant = mintGrant(options);
  const { secretAccessKey, ...others } = temporaryCredentials(grant, { ...signer, now });
  assert.deepEqual(others, {
    accessKeyId: "ROMAKEY",
    sessionToken: grant,
    expiration: new Date("2026-01-31T12:01:00Z"),
  });
  assert.match(secretAccessKey, /^[\w-]{43}$/);
  assert.throws(() => temporaryCredentials(`${grant}x`, { ...signer, now }));
});
