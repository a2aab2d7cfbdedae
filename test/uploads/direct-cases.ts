/** What direct uploads promise on every storage, and more where the bytes go straight to it. */
import { strict as assert } from "node:assert";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";
import type { Actor, GrantScope } from "../../packages/server/src/core/access.ts";
import { type ErrorCode, isOperationalError } from "../../packages/server/src/core/errors.ts";
import { parseKey } from "../../packages/server/src/core/object-key.ts";
import { forward, forwardParts } from "../../packages/server/src/storage/layers/forward.ts";
import { eventually } from "../harness/process-usage.ts";
import { root } from "./core.ts";
import {
  type DirectCore,
  digest,
  type OpenDriver,
  openDirect,
  requestOf,
  signal,
} from "./direct.ts";

const MiB = 1024 ** 2;
const partBytes = 5 * MiB;

export const code =
  (expected: ErrorCode, reason?: string) =>
  (error: unknown): boolean => {
    assert.ok(isOperationalError(error, expected), String(error));
    if (reason !== undefined) assert.equal(error.context.reason, reason);
    return true;
  };

const nothing = { blobs: 0, pending: 0 };

/** After the upkeep and the sweeper. */
async function assertLeft(core: DirectCore, expected: { blobs: number; pending: number }) {
  await core.upkeep.round();
  await core.sweeper.sweep();
  assert.deepEqual(await core.stored(), expected);
}

const grantOf = (scope: Partial<GrantScope>): Actor => ({
  kind: "grant",
  keyId: "ROOT",
  policy: [{ actions: ["*"], buckets: ["*"] }],
  scope: { bucket: "b", prefix: "", actions: ["object:write"], ...scope },
});

export function describeDirect(
  name: string,
  open: OpenDriver,
  { via }: { readonly via: "storage" | "server" },
): void {
  describe(`direct uploads, ${name}`, () => {
    test("one request, completed: the object is those bytes, and every read is verified", async (t) => {
      const core = await openDirect(t, open);
      const bytes = randomBytes(300_001);
      const digests = { sha256: digest("sha256", bytes), md5: digest("md5", bytes) };
      const upload = await core.begin({ length: bytes.length, digests });
      assert.deepEqual([upload.via, upload.partCount], [via, 1]);
      assert.equal((await core.send(upload, 1, bytes)).status, 200);
      assert.equal(await core.read("k"), undefined, "no object before");
      const { object, replayed } = await core.complete(upload.id);
      assert.equal(replayed, false);
      assert.deepEqual(await core.read("k"), bytes);
      assert.deepEqual(object.digests.sha256, digests.sha256);
      const stored = await core.metadata.getObject("b", "k");
      assert.equal(stored?.blocks?.sums.length, 16, "sums of two blocks");
      const again = await core.complete(upload.id);
      assert.deepEqual([again.replayed, again.object.version], [true, object.version]);
      const wrong = core.complete(upload.id, { digests: { sha256: new Uint8Array(32) } });
      await assert.rejects(wrong, code("checksum_mismatch"));
      await assertLeft(core, { blobs: 1, pending: 0 });
      assert.deepEqual(await core.read("k"), bytes);
    });

    test("who still holds the request after completion changes nothing", async (t) => {
      const core = await openDirect(t, open);
      const bytes = randomBytes(50_000);
      const upload = await core.begin({ length: bytes.length });
      const other = randomBytes(bytes.length);
      // As often as wanted before: the last counts.
      await core.send(upload, 1, other);
      await core.send(upload, 1, bytes);
      await core.complete(upload.id);
      const replay = core.send(upload, 1, other);
      if (via === "server") await assert.rejects(replay, code("upload_not_found"));
      else assert.equal((await replay).status, 404, (await replay).text);
      assert.deepEqual(await core.read("k"), bytes);
      await assertLeft(core, { blobs: 1, pending: 0 });
      // Nor after the object is gone: nothing appears that nobody knows.
      await core.objects.delete(root, { bucket: "b", key: parseKey("k") });
      await assertLeft(core, nothing);
      await core.send(upload, 1, other).catch(() => undefined);
      await assertLeft(core, nothing);
      await assert.rejects(core.complete(upload.id), code("object_not_found"));
    });

    test("parts in any order become one object, completed by two at once", async (t) => {
      const core = await openDirect(t, open);
      const bytes = randomBytes(2 * partBytes + 77);
      const part = (number: number) => bytes.subarray((number - 1) * partBytes, number * partBytes);
      const sha256 = digest("sha256", bytes);
      const upload = await core.begin({ length: bytes.length, partBytes, digests: { sha256 } });
      assert.deepEqual([upload.partBytes, upload.partCount], [partBytes, 3]);
      await assert.rejects(core.complete(upload.id), code("invalid_part", "missing"));
      const etags = new Map<number, string>();
      for (const number of [3, 1]) {
        const { status, etag } = await core.send(upload, number, part(number));
        assert.equal(status, 200);
        etags.set(number, etag);
      }
      await assert.rejects(core.complete(upload.id), code("invalid_part", "missing"));
      const found = await core.direct.get(root, upload.id, { signal });
      assert.deepEqual(
        found.parts.map(({ number, length }) => [number, length]),
        [
          [1, partBytes],
          [3, 77],
        ],
      );
      assert.deepEqual(
        found.requests.map(({ number }) => number),
        [2],
      );
      const { requests } = await core.direct.sign(root, upload.id, { partNumbers: [2], signal });
      etags.set(2, (await core.send(upload, requests[0] ?? assert.fail(), part(2))).etag);
      const parts = [1, 2, 3].map((number) => ({ number, etag: etags.get(number) ?? "" }));
      const swapped = parts.map(({ number }) => ({
        number,
        etag: etags.get((number % 3) + 1) ?? "",
      }));
      await assert.rejects(
        core.complete(upload.id, { parts: swapped }),
        code("invalid_part", "etag"),
      );
      const both = await Promise.all([
        core.complete(upload.id, { parts }),
        core.complete(upload.id),
      ]);
      assert.deepEqual(both.map(({ replayed }) => replayed).sort(), [false, true]);
      assert.equal(both[0].object.version, both[1].object.version);
      assert.ok((await core.read("k"))?.equals(bytes));
      await core.send(upload, 1, randomBytes(partBytes)).catch(() => undefined);
      assert.ok((await core.read("k"))?.equals(bytes));
      assert.equal((await core.metadata.bucketUsage("b")).reservedBytes, 0);
      assert.equal((await core.stored()).pending, 0);
    });

    test("bytes that are not those declared become nothing", async (t) => {
      const core = await openDirect(t, open);
      const bytes = randomBytes(1_000);
      const sha256 = digest("sha256", bytes);
      const upload = await core.begin({ length: bytes.length, digests: { sha256 } });
      await core.send(upload, 1, randomBytes(bytes.length));
      await assert.rejects(core.complete(upload.id), code("checksum_mismatch"));
      assert.equal(await core.read("k"), undefined);
      if (via === "server") {
        await core.send(upload, 1, bytes);
        await core.complete(upload.id);
        return;
      }
      await assert.rejects(core.complete(upload.id), code("upload_not_found"));
      assert.equal((await core.metadata.bucketUsage("b")).reservedBytes, 0);
      await assertLeft(core, nothing);
      const md5 = digest("md5", bytes);
      const bound = await core.begin({ length: bytes.length, digests: { md5 } });
      const answer = await core.send(bound, 1, randomBytes(bytes.length));
      assert.equal(answer.status, 400, "the storage itself compares");
    });

    test("a grant's types are judged by the bytes, and what is refused does not stay", async (t) => {
      const core = await openDirect(t, open);
      const images = grantOf({ contentTypes: ["image/*"], maxBytes: 1_000 });
      const page = Buffer.from("<!doctype html><title>x</title>".padEnd(500));
      const upload = await core.begin({ length: page.length, contentType: "image/png" }, images);
      await core.send(upload, 1, page);
      await assert.rejects(core.complete(upload.id, {}, images), code("content_type_refused"));
      assert.equal(await core.read("k"), undefined);
      const large = core.begin({ length: 1_001 }, images);
      await assert.rejects(large, code("too_large"));
      if (via === "server") await core.resumable.cancel(root, upload.id, { signal });
      await assertLeft(core, nothing);
    });

    test("createOnly is judged in the end, and what is refused does not stay", async (t) => {
      const core = await openDirect(t, open);
      const [first, second] = [
        await core.begin({ length: 3, createOnly: true }),
        await core.begin({ length: 3 }),
      ];
      await core.send(first, 1, Buffer.from("one"));
      await core.send(second, 1, Buffer.from("two"));
      await core.complete(second.id);
      await assert.rejects(core.complete(first.id), code("precondition_failed"));
      assert.equal((await core.read("k"))?.toString(), "two");
      await core.resumable.cancel(root, first.id, { signal });
      await assertLeft(core, { blobs: 1, pending: 0 });
    });

    test("what nobody completes is given up, in the storage too", async (t) => {
      const core = await openDirect(t, open);
      const abandoned = await core.begin({ length: partBytes + 1, partBytes });
      await core.send(abandoned, 1, randomBytes(partBytes));
      const cancelled = await core.begin({ length: 5, key: parseKey("other") });
      await core.send(cancelled, 1, Buffer.from("hello"));
      await core.resumable.cancel(root, cancelled.id, { signal });
      await assert.rejects(core.complete(cancelled.id), code("upload_not_found"));
      const late = core.send(cancelled, 1, Buffer.from("HELLO"));
      if (via === "server") await assert.rejects(late, code("upload_not_found"));
      else assert.equal((await late).status, 404);
      core.pass(23 * 3_600_000);
      await core.upkeep.round();
      assert.equal((await core.direct.get(root, abandoned.id, { signal })).parts.length, 1);
      core.pass(2 * 3_600_000);
      await assertLeft(core, nothing);
      await assert.rejects(core.complete(abandoned.id), code("upload_not_found"));
      assert.equal((await core.metadata.bucketUsage("b")).reservedBytes, 0);
    });

    test("bytes that are known are proven, and what was begun for them is given up", async (t) => {
      const core = await openDirect(t, open);
      const bytes = randomBytes(400_000);
      const digests = { sha256: digest("sha256", bytes) };
      const first = await core.begin({ length: bytes.length, digests });
      await core.send(first, 1, bytes);
      const { object } = await core.complete(first.id);
      const second = await core.begin({
        ...{ key: parseKey("second"), length: bytes.length, digests, instant: true },
      });
      const { challenge = assert.fail("no challenge") } = second;
      assert.deepEqual(second.requests, []);
      const proof = challenge.ranges.map(({ firstByte, lastByte }) => {
        const range = bytes.subarray(firstByte, lastByte + 1);
        return digest("sha256", Buffer.concat([challenge.nonce, range]));
      });
      const proven = await core.direct.prove(root, second.id, { digests: proof, signal });
      assert.equal(proven.object.blobKey, object.blobKey);
      assert.ok((await core.read("second"))?.equals(bytes));
      await assertLeft(core, { blobs: 1, pending: 0 });
      assert.equal((await core.metadata.bucketUsage("b")).reservedBytes, 0);
      await core.objects.delete(root, { bucket: "b", key: parseKey("k") });
      core.pass(25 * 3_600_000);
      await assertLeft(core, { blobs: 1, pending: 0 });
      assert.ok((await core.read("second"))?.equals(bytes));
    });

    test("an empty upload", async (t) => {
      const core = await openDirect(t, open);
      const upload = await core.begin({ length: 0 });
      assert.equal((await core.send(upload, 1, new Uint8Array())).status, 200);
      await core.complete(upload.id);
      assert.equal((await core.read("k"))?.length, 0);
    });

    if (via === "storage") describeStorageItself(open);
  });
}

function describeStorageItself(open: OpenDriver): void {
  test("the storage takes the signed request and no other", async (t) => {
    const core = await openDirect(t, open);
    const bytes = randomBytes(1_000);
    const upload = await core.begin({ length: bytes.length });
    for (const wrong of [randomBytes(999), randomBytes(1_001)]) {
      const { status, text } = await core.send(upload, 1, wrong);
      assert.equal(status, 403, text);
    }
    for (const method of ["GET", "POST", "DELETE"] as const) {
      const { status } = await core.send(upload, 1, bytes, { method });
      assert.ok(status === 403 || status === 405, `${method}: ${status}`);
    }
    for (const url of [
      (signed: string) => signed.replace("partNumber=1", "partNumber=2"),
      (signed: string) => signed.replace(/\/b\/test\//, "/b/best/"),
      (signed: string) => signed.replace(/partNumber=1&?/, ""),
      (signed: string) => signed.replace(/uploadId=[^&]*&?/, ""),
    ]) {
      const { status, text } = await core.send(upload, 1, bytes, { url });
      assert.equal(status, 403, text);
    }
    assert.deepEqual((await core.direct.get(root, upload.id, { signal })).parts, []);
    assert.equal((await core.send(upload, 1, bytes)).status, 200);
    await core.complete(upload.id);
    assert.deepEqual(await core.read("k"), bytes);
  });

  test("a request that has expired is refused, and signed again it is taken", async (t) => {
    const core = await openDirect(t, open, { requestMs: 2_000 });
    const bytes = randomBytes(10);
    const upload = await core.begin({ length: bytes.length });
    await eventually("the request expires", async () => {
      return (await core.send(upload, 1, randomBytes(10))).status === 403;
    });
    // That one expires as well, if this process stands still for so long.
    await eventually("signed again it is taken", async () => {
      const { requests } = await core.direct.sign(root, upload.id, { signal });
      const { status } = await core.send(upload, requests[0] ?? assert.fail(), bytes);
      assert.ok(status === 200 || status === 403, `${status}`);
      return status === 200;
    });
    await core.complete(upload.id);
    assert.deepEqual(await core.read("k"), bytes);
  });

  for (const lost of ["complete", "get"] as const) {
    test(`a completion that failed at its ${lost} is completed by asking again`, async (t) => {
      let armed = true;
      const fail = (): void => {
        if (!armed) return;
        armed = false;
        throw new Error(`lost: ${lost}`);
      };
      const core = await openDirect(t, open, {
        wrap: (driver) =>
          forward(driver, {
            get: async (key, options) => {
              if (lost === "get") fail();
              return await driver.get(key, options);
            },
            parts: (parts) =>
              forwardParts(parts, {
                complete: async (...given) => {
                  const answer = await parts.complete(...given);
                  if (lost === "complete") fail();
                  return answer;
                },
              }),
          }),
      });
      const bytes = randomBytes(partBytes + 5);
      const upload = await core.begin({ length: bytes.length, partBytes });
      await core.send(upload, 1, bytes.subarray(0, partBytes));
      await core.send(upload, 2, bytes.subarray(partBytes));
      await assert.rejects(core.complete(upload.id), /lost/);
      assert.equal(await core.read("k"), undefined);
      await core.complete(upload.id);
      assert.ok((await core.read("k"))?.equals(bytes));
      await assertLeft(core, { blobs: 1, pending: 0 });
    });
  }

  test("what was begun at the storage and never completed goes, also if it was made one there", async (t) => {
    const core = await openDirect(t, open, {
      wrap: (driver) => forward(driver, { get: () => Promise.reject(new Error("never read")) }),
    });
    const upload = await core.begin({ length: 3 });
    await core.send(upload, 1, Buffer.from("abc"));
    await assert.rejects(core.complete(upload.id), /never read/);
    assert.deepEqual(await core.stored(), { blobs: 1, pending: 0 });
    core.pass(25 * 3_600_000);
    await assertLeft(core, nothing);
  });

  test("damage between the part and the completion is found", async (t) => {
    const core = await openDirect(t, open, {
      wrap: (driver) =>
        forward(driver, {
          get: async (key, options) => {
            const { head, body } = await driver.get(key, options);
            const flipped = (async function* () {
              for await (const chunk of body) yield chunk.map((byte) => byte ^ 1);
            })();
            const dispose = async () => await body[Symbol.asyncDispose]();
            return { head, body: Object.assign(flipped, { [Symbol.asyncDispose]: dispose }) };
          },
        }),
    });
    const upload = await core.begin({ length: 3 });
    await core.send(upload, 1, Buffer.from("abc"));
    await assert.rejects(core.complete(upload.id), code("data_damaged"));
    assert.equal(await core.read("k"), undefined);
  });

  test("by the server instead, if that is asked for", async (t) => {
    const core = await openDirect(t, open);
    const upload = await core.begin({ length: 3, via: "server" });
    assert.equal(upload.via, "server");
    assert.equal(requestOf(upload, 1).to, "server");
    await core.send(upload, 1, Buffer.from("abc"));
    await core.complete(upload.id);
    assert.equal((await core.read("k"))?.toString(), "abc");
  });
}
