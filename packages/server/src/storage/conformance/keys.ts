// Cases of the contract: keys are opaque, and metadata stays with its blob.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { isOperationalError } from "../../core/errors.ts";
import {
  calm,
  keysOf,
  put,
  read,
  rejectsWith,
  type StorageUnderTest,
  together,
} from "./subject.ts";

const controls = String.fromCharCode(...Array.from({ length: 31 }, (_, index) => index + 1));

const weirdKeys: readonly string[] = [
  "plain",
  "a/b",
  "a/b/c",
  "a",
  "a-b",
  "a.b",
  "a b",
  "a+b",
  "a%2Fb",
  "a%b",
  "%",
  "%%",
  "%~",
  "a%",
  "a%/b",
  "A",
  "A/b",
  "/",
  "//",
  "/lead",
  "trail/",
  "a//b",
  "a///b",
  ".",
  "..",
  "./a",
  "../a",
  "a/../b",
  "a/./b",
  ".roma",
  ".roma/tmp/x",
  ".hidden",
  "a/.hidden",
  "..a",
  " ",
  " lead",
  "trail ",
  "dot.",
  "~",
  "back\\slash",
  "quote\"'`",
  "star*?<>|:;&$!#@=,[]{}()^",
  "tab\tkey",
  "cr\rlf\nkey",
  "nul\u0000key",
  controls,
  "\u007f",
  "é",
  "e\u0301",
  "漢字/かな",
  "😀",
  "\ufeffbom",
  "\u202eright-to-left",
  "\u{10ffff}",
  "\uffff",
  "con",
  "aux.txt",
  "lost+found",
  "x".repeat(79),
  "x".repeat(80),
  "x".repeat(81),
  "x".repeat(160),
  "x".repeat(255),
  "x".repeat(256),
  `${"x".repeat(80)}/y`,
  `${"x".repeat(300)}/${"y".repeat(300)}`,
  "é".repeat(127),
  "😀".repeat(64),
  "x".repeat(1024),
  "%".repeat(1024),
  "/".repeat(60),
  "é".repeat(512),
];

export function keyCases({ open }: StorageUnderTest): void {
  test("every key is stored and returned exactly, or refused by all operations alike", async (t) => {
    const { driver } = await open(t);
    const stored: string[] = [];
    for (const key of together(driver, weirdKeys)) {
      try {
        await put(driver, key, `bytes of ${key}`);
        stored.push(key);
      } catch (error) {
        assert.ok(isOperationalError(error, "invalid_key"), `${JSON.stringify(key)}: ${error}`);
        await refusedByAll(driver, key);
      }
    }
    for (const key of stored) {
      assert.equal((await read(driver, key)).toString(), `bytes of ${key}`, JSON.stringify(key));
      assert.equal((await driver.head(key, { signal: calm })).key, key);
    }
    const expected = stored
      .map((key) => Buffer.from(key))
      .sort(Buffer.compare)
      .map(String);
    assert.deepEqual(await keysOf(driver), expected);
    for (const [index, key] of expected.entries()) {
      if (index % 3 !== 0) continue;
      const from = index + 1;
      assert.deepEqual(await keysOf(driver, "", key), expected.slice(from), JSON.stringify(key));
      const below = expected.filter((other) => other.startsWith(key));
      assert.deepEqual(await keysOf(driver, key), below, JSON.stringify(key));
    }
    for (const key of stored) await driver.delete(key, { signal: calm });
    assert.deepEqual(await keysOf(driver), []);
  });

  test("an empty key, a lone surrogate and 1,025 bytes are invalid_key everywhere", async (t) => {
    const { driver } = await open(t);
    for (const key of ["", "\ud800", "a\udfffb", "x".repeat(1025), "é".repeat(513)]) {
      await refusedByAll(driver, key);
      await rejectsWith("invalid_key", put(driver, key, "x"));
    }
  });

  test("a missing blob is object_not_found, and deleting it is success", async (t) => {
    const { driver } = await open(t);
    await put(driver, "a/b", "x");
    for (const key of ["missing", "a", "a/b/c", "a/missing", "b/c/d"]) {
      await rejectsWith("object_not_found", driver.get(key, { signal: calm }));
      await rejectsWith("object_not_found", driver.head(key, { signal: calm }));
      await driver.delete(key, { signal: calm });
    }
    await driver.delete("a/b", { signal: calm });
    await driver.delete("a/b", { signal: calm });
    await rejectsWith("object_not_found", driver.head("a/b", { signal: calm }));
  });

  test("puts and deletes of one folder race without harm", async (t) => {
    const { driver } = await open(t);
    const workers = Array.from({ length: 8 }, async (_, worker) => {
      for (let turn = 0; turn < 25; turn += 1) {
        const key = `deep/er/folder/${worker}`;
        await repeated(() => put(driver, key, `${worker} ${turn}`));
        assert.equal((await read(driver, key)).toString(), `${worker} ${turn}`);
        await driver.delete(key, { signal: calm });
      }
    });
    await Promise.all(workers);
    assert.deepEqual(await keysOf(driver), []);
  });

  test("metadata comes back as given where it is kept, and an overwrite inherits none", async (t) => {
    const { driver } = await open(t);
    const metadata = {
      contentType: "text/plain; charset=utf-8",
      cacheControl: "max-age=60",
      contentDisposition: 'attachment; filename="x"',
      user: { name: "Grüße 漢字 😀", empty: "" },
    };
    await put(driver, "m", "1", { metadata });
    const kept = driver.capabilities.keepsMetadata;
    assert.deepEqual((await driver.head("m", { signal: calm })).metadata, kept ? metadata : {});
    await put(driver, "m", "2");
    assert.deepEqual((await driver.head("m", { signal: calm })).metadata, {});
    if (!kept) return;
    const user = { large: "x".repeat(driver.capabilities.metadataBytesMax + 1) };
    await rejectsWith("too_large", put(driver, "m", "3", { metadata: { user } }));
    assert.equal((await read(driver, "m")).toString(), "2");
  });
}

async function refusedByAll(driver: Parameters<typeof put>[0], key: string): Promise<void> {
  await rejectsWith("invalid_key", driver.get(key, { signal: calm }));
  await rejectsWith("invalid_key", driver.head(key, { signal: calm }));
  await rejectsWith("invalid_key", driver.delete(key, { signal: calm }));
}

/** What the driver says may pass is asked for again, as the layers would. */
async function repeated<T>(call: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await call();
    } catch (error) {
      if (!isOperationalError(error, "unavailable") || !error.retryable || attempt === 5)
        throw error;
    }
  }
}
