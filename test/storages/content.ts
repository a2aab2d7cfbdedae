// What lies in a storage, told by a program that is not ours: its MD5 equals that of the bytes that
// went in, by every way in and for lengths around the size of a part.

import { strict as assert } from "node:assert";
import { execFile } from "node:child_process";
import { createHash, type Hash, randomBytes } from "node:crypto";
import { describe, type TestContext, test } from "node:test";
import { promisify } from "node:util";
import type { StorageDriver } from "../../packages/server/src/core/ports/storage-driver.ts";
import type { OpenStorage } from "../../packages/server/src/storage/conformance.ts";
import { requirePrerequisite } from "../prerequisites.ts";

const MiB = 1024 * 1024;
const partBytes = 8 * MiB;
const lengths = [0, 1, partBytes - 1, partBytes, partBytes + 1, 50_000_000];
const largeLength = 2 * 1024 * MiB;

const largeWay = "an upload in parts";

export interface StoredContent {
  readonly open: OpenStorage;
  /** A shell command that prints the bytes of a key of the driver that was opened last. */
  readonly print: (key: string) => string;
}

interface Way {
  /** An upload without a part is no blob. */
  readonly bytesMin: number;
  /** Stores these many bytes under the key and adds them to the hash. */
  readonly store: (driver: StorageDriver, key: string, length: number, hash: Hash) => Promise<void>;
}

const ways: Readonly<Record<string, Way>> = {
  "a put that declares its length": {
    bytesMin: 0,
    async store(driver, key, length, hash) {
      await driver.put(key, bytes(length, hash), { signal: calm, length });
    },
  },
  "a put of unknown length": {
    bytesMin: 0,
    async store(driver, key, length, hash) {
      await driver.put(key, bytes(length, hash), { signal: calm });
    },
  },
  "an upload in parts": {
    bytesMin: 1,
    async store(driver, key, length, hash) {
      const { parts } = driver;
      assert.ok(parts);
      const upload = await parts.create(key, { signal: calm, partBytes });
      const written = [];
      for (let start = 0; start < length; start += partBytes) {
        const part = await Array.fromAsync(bytes(Math.min(partBytes, length - start), hash, start));
        const options = { signal: calm, digests: {} };
        written.push(
          await parts.writePart(upload, written.length + 1, Buffer.concat(part), options),
        );
      }
      await parts.complete(upload, written, { signal: calm, length });
    },
  },
};

export function contentCases(name: string, { open, print }: StoredContent): void {
  describe(`what lies on ${name}`, () => {
    for (const [way, { bytesMin, store }] of Object.entries(ways)) {
      for (const length of [...lengths, largeLength]) {
        if (length < bytesMin) continue;
        test(`${length} bytes by ${way} have their MD5 there`, async (t) => {
          if (length === largeLength && !mayBeLarge(t, way)) return;
          const { driver } = await open(t);
          const hash = createHash("md5");
          await store(driver, "blob", length, hash);
          const expected = hash.digest("hex");
          assert.equal((await driver.head("blob", { signal: calm })).length, length);
          assert.equal(await md5Of(print("blob")), expected, "as another program reads it");
          const { body } = await driver.get("blob", { signal: calm });
          const read = createHash("md5");
          for await (const chunk of body) read.update(chunk);
          assert.equal(read.digest("hex"), expected, "as the driver reads it");
          await driver.delete("blob", { signal: calm });
        });
      }
    }
  });
}

/** One way is enough to see that nothing ends at 2 GiB; all of them take a quarter of an hour. */
function mayBeLarge(t: TestContext, way: string): boolean {
  if (!requirePrerequisite(t, "large")) return false;
  const isAsked = way === largeWay || process.env.TEST_STORAGES_LARGE === "all";
  if (!isAsked) t.skip("TEST_STORAGES_LARGE=all has it");
  return isAsked;
}

const calm: AbortSignal = new AbortController().signal;
const random = randomBytes(4 * MiB);

/** Random bytes from a place of the body on, no two chunks alike, so that a wrong order shows. */
async function* bytes(length: number, hash: Hash, start = 0): AsyncGenerator<Uint8Array> {
  let place = (start / 65_536) * 65_537;
  for (let left = length; left > 0; left -= 65_536) {
    place = (place + 65_537) % (random.length - 65_536);
    const chunk = random.subarray(place, place + Math.min(left, 65_536));
    hash.update(chunk);
    yield chunk;
  }
}

async function md5Of(command: string): Promise<string> {
  const { stdout } = await promisify(execFile)("bash", [
    "-o",
    "pipefail",
    "-c",
    `${command} | md5sum`,
  ]);
  return stdout.slice(0, 32);
}
