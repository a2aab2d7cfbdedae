import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { isOperationalError } from "./errors.ts";
import { createSealer } from "./sealing.ts";

const isInternal = (error: unknown) => isOperationalError(error, "internal");

test("a sealed secret opens again, never looks the same twice, and does not show the secret", () => {
  const sealer = createSealer(randomBytes(32));
  const first = sealer.seal("sécret", "id");
  assert.equal(sealer.open(first, "id"), "sécret");
  assert.notDeepEqual(first, sealer.seal("sécret", "id"));
  assert.equal(Buffer.from(first).includes("sécret"), false);
});

test("another key, another name, a flipped bit and a cut text do not open", () => {
  const sealer = createSealer(randomBytes(32));
  const sealed = sealer.seal("secret", "id");
  assert.throws(() => createSealer(randomBytes(32)).open(sealed, "id"), isInternal);
  assert.throws(() => sealer.open(sealed, "other"), isInternal);
  for (let index = 0; index < sealed.length; index += 1) {
    const flipped = Uint8Array.from(sealed);
    flipped[index] = (flipped[index] ?? 0) ^ 1;
    assert.throws(() => sealer.open(flipped, "id"), isInternal);
    assert.throws(() => sealer.open(sealed.subarray(0, index), "id"), isInternal);
  }
});

test("keys for other purposes are derived, each purpose and each installation its own", () => {
  const key = createSealer(Buffer.alloc(32, 1)).deriveKey("a");
  assert.equal(key.length, 32);
  assert.deepEqual(createSealer(Buffer.alloc(32, 1)).deriveKey("a"), key);
  assert.notDeepEqual(createSealer(Buffer.alloc(32, 1)).deriveKey("b"), key);
  assert.notDeepEqual(createSealer(Buffer.alloc(32, 2)).deriveKey("a"), key);
  assert.notDeepEqual(Buffer.from(key), Buffer.alloc(32, 1));
});
