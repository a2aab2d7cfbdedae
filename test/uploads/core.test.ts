/** Resumable uploads below every protocol: what is told as stored is stored, whatever ends a request. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { type TestContext, test } from "node:test";
import {
  type ErrorCode,
  isOperationalError,
  OperationalError,
} from "../../packages/server/src/core/errors.ts";
import { forward, forwardParts } from "../../packages/server/src/storage/layers/forward.ts";
import { eventually } from "../harness/process-usage.ts";
import {
  type CoreOptions,
  chunks,
  hanging,
  openCore,
  partBytes,
  root,
  type StorageKindName,
  storageKinds,
} from "./core.ts";

const signal = new AbortController().signal;

function onBoth(name: string, run: (t: TestContext, kind: StorageKindName) => Promise<void>): void {
  for (const kind of storageKinds) test(`${kind}: ${name}`, (t) => run(t, kind));
}

const refusal = (code: ErrorCode) => ({ name: "OperationalError", code });

onBoth("uploads of every size, in pieces of many sizes, are whole", async (t, kind) => {
  const core = await openCore(t, { kind });
  for (const length of [0, 1, partBytes - 1, partBytes, partBytes + 1, 3 * partBytes, 700_001]) {
    for (const step of [700_001, 50_000, 1_000_000]) {
      const bytes = randomBytes(length);
      const key = `${length}-${step}`;
      const made = await core.create(key, length);
      let offset = made.upload.offset;
      let last = made;
      while (offset < length) {
        last = await core.append(made.upload.id, offset, bytes.subarray(offset, offset + step));
        offset = last.upload.offset;
      }
      assert.equal(last.upload.phase, "complete", key);
      assert.equal(last.written?.object.length, length, key);
      assert.deepEqual(await core.read(key), bytes, key);
    }
  }
  assert.equal(core.buffers.usedBytes, 0);
});

onBoth("one byte at a time passes a part's border and keeps every byte", async (t, kind) => {
  const core = await openCore(t, { kind });
  const bytes = randomBytes(partBytes + 150);
  const { upload } = await core.create("slow", bytes.length);
  await core.append(upload.id, 0, bytes.subarray(0, partBytes - 75));
  for (let offset = partBytes - 75; offset < bytes.length; offset += 1) {
    await core.append(upload.id, offset, bytes.subarray(offset, offset + 1));
  }
  assert.deepEqual(await core.read("slow"), bytes);
});

onBoth("a connection that breaks costs nothing of what came before", async (t, kind) => {
  const core = await openCore(t, { kind });
  const bytes = randomBytes(400_000);
  const { upload } = await core.create("cut", bytes.length);
  let offset = 0;
  for (const end of [100, 70_000, 70_001, 250_000]) {
    const { body, cut } = hanging(bytes.subarray(offset, end));
    const running = core.append(upload.id, offset, body);
    setTimeout(cut, 50);
    await assert.rejects(running, /the connection was closed/);
    const view = await core.uploads.get(root, upload.id);
    assert.equal(view.offset, end);
    offset = end;
  }
  const { written } = await core.append(upload.id, offset, bytes.subarray(offset));
  assert.equal(written?.object.length, bytes.length);
  assert.deepEqual(await core.read("cut"), bytes);
  assert.equal(core.buffers.usedBytes, 0);
});

onBoth("another offset than the upload's is refused, with the right one", async (t, kind) => {
  const core = await openCore(t, { kind });
  const { upload } = await core.create("k", 100);
  await core.append(upload.id, 0, randomBytes(40));
  for (const offset of [0, 39, 41, 100]) {
    const refused = core.append(
      upload.id,
      offset,
      randomBytes(1).subarray(0, offset === 100 ? 0 : 1),
    );
    await assert.rejects(refused, {
      code: "offset_mismatch",
      context: { offset: 40, askedOffset: offset },
    });
  }
  assert.equal((await core.uploads.get(root, upload.id)).offset, 40);
});

onBoth("more than the length is refused before it is read, or at the byte", async (t, kind) => {
  const core = await openCore(t, { kind });
  const { upload } = await core.create("k", 1_000);
  await assert.rejects(core.append(upload.id, 0, randomBytes(1_001)), refusal("too_large"));
  assert.equal((await core.uploads.get(root, upload.id)).offset, 0);
  const undeclared = core.append(upload.id, 0, chunks(randomBytes(1_001), 400));
  await assert.rejects(undeclared, refusal("too_large"));
  const view = await core.uploads.get(root, upload.id);
  assert.equal(view.phase, "receiving", "other bytes than declared never become an object");
  assert.equal(view.offset, 800);
});

onBoth("a body whose checksum differs counts for nothing, however long it was", async (t, kind) => {
  const core = await openCore(t, { kind });
  const bytes = randomBytes(300_000);
  const sha1 = (part: Uint8Array) => createHash("sha1").update(part).digest();
  const checks = (sum: Uint8Array) => ({
    names: ["sha1"] as const,
    expected: () => ({ sha1: sum }),
  });
  const { upload } = await core.create("k", bytes.length);
  const first = bytes.subarray(0, 200_000);
  const wrong = core.append(upload.id, 0, first, { checks: checks(sha1(bytes)) });
  await assert.rejects(wrong, refusal("checksum_mismatch"));
  assert.equal((await core.uploads.get(root, upload.id)).offset, 0);
  const { body, cut } = hanging(first);
  const broken = core.append(upload.id, 0, body, { checks: checks(sha1(first)) });
  setTimeout(cut, 50);
  await assert.rejects(broken, /the connection was closed/);
  assert.equal((await core.uploads.get(root, upload.id)).offset, 0);
  await core.append(upload.id, 0, first, { checks: checks(sha1(first)) });
  const rest = bytes.subarray(200_000);
  await assert.rejects(
    core.append(upload.id, 200_000, rest, { checks: checks(sha1(first)) }),
    refusal("checksum_mismatch"),
  );
  await core.append(upload.id, 200_000, rest, { checks: checks(sha1(rest)) });
  assert.deepEqual(await core.read("k"), bytes);
});

onBoth(
  "a digest of the whole is compared across resumes, and a wrong one leaves nothing",
  async (t, kind) => {
    const core = await openCore(t, { kind });
    const bytes = randomBytes(200_000);
    const sha256 = createHash("sha256").update(bytes).digest();
    for (const [key, step] of [
      ["one", 200_000],
      ["many", 60_000],
    ] as const) {
      const made = await core.create(key, bytes.length, { digests: { sha256 } });
      for (let offset = 0; offset < bytes.length; offset += step) {
        await core.append(made.upload.id, offset, bytes.subarray(offset, offset + step));
      }
      assert.deepEqual(await core.read(key), bytes);
    }
    for (const [key, step] of [
      ["x-one", 200_000],
      ["x-many", 60_000],
    ] as const) {
      const made = await core.create(key, bytes.length, { digests: { sha256: randomBytes(32) } });
      const run = async () => {
        for (let offset = 0; offset < bytes.length; offset += step) {
          await core.append(made.upload.id, offset, bytes.subarray(offset, offset + step));
        }
      };
      await assert.rejects(run(), refusal("checksum_mismatch"));
      await assert.rejects(core.uploads.get(root, made.upload.id), refusal("upload_not_found"));
      await assert.rejects(core.read(key), refusal("object_not_found"));
    }
  },
);

onBoth(
  "a length that is told late completes the upload, also with an empty body",
  async (t, kind) => {
    const core = await openCore(t, { kind });
    const bytes = randomBytes(90_000);
    const late = await core.create("late");
    await core.append(late.upload.id, 0, bytes);
    await assert.rejects(
      core.append(late.upload.id, 90_000, new Uint8Array(), { length: 89_999 }),
      refusal("invalid_request"),
    );
    const { written } = await core.append(late.upload.id, 90_000, new Uint8Array(), {
      length: 90_000,
    });
    assert.equal(written?.object.length, 90_000);
    const ended = await core.create("ended");
    await core.append(ended.upload.id, 0, bytes.subarray(0, 70_000), { complete: "no" });
    await core.append(ended.upload.id, 70_000, bytes.subarray(70_000), { complete: "yes" });
    assert.deepEqual(await core.read("late"), bytes);
    assert.deepEqual(await core.read("ended"), bytes);
    const other = await core.create("other", 10);
    await assert.rejects(
      core.append(other.upload.id, 0, randomBytes(5), { length: 11 }),
      refusal("invalid_request"),
    );
  },
);

onBoth(
  "of two appends at once one wins, and no byte of the other is among its own",
  async (t, kind) => {
    const core = await openCore(t, { kind });
    const length = 300_000;
    for (let round = 0; round < 5; round += 1) {
      const key = `race-${round}`;
      const { upload } = await core.create(key, length);
      const bodies = [Buffer.alloc(length, "a"), Buffer.alloc(length, "b")];
      const results = await Promise.allSettled(
        bodies.map((body) => core.append(upload.id, 0, body)),
      );
      const winners = results.filter(({ status }) => status === "fulfilled");
      assert.equal(winners.length, 1, key);
      for (const result of results) {
        if (result.status === "fulfilled") continue;
        assert.match(String(result.reason.code), /^(locked|offset_mismatch)$/);
      }
      const stored = await core.read(key);
      assert.ok(
        bodies.some((body) => body.equals(stored)),
        key,
      );
    }
  },
);

onBoth(
  "who asks where it stands stops the old request, and gets an offset that holds",
  async (t, kind) => {
    const core = await openCore(t, { kind });
    const bytes = randomBytes(200_000);
    const { upload } = await core.create("k", bytes.length);
    const { body } = hanging(bytes.subarray(0, 123_456));
    const old = assert.rejects(core.append(upload.id, 0, body), refusal("locked"));
    await eventually("it is being received", async () => {
      return (await core.metadata.getUpload(upload.id))?.holder !== null;
    });
    const from = performance.now();
    const view = await core.uploads.settle(root, upload.id, { signal });
    // Whoever is not asked to stop goes on for ever.
    assert.ok(performance.now() - from < 20_000);
    await old;
    await core.append(upload.id, view.offset, bytes.subarray(view.offset));
    assert.deepEqual(await core.read("k"), bytes);
  },
);

onBoth("an append takes over from a client that went silent", async (t, kind) => {
  const core = await openCore(t, { kind });
  const bytes = randomBytes(150_000);
  const { upload } = await core.create("k", bytes.length);
  const { body } = hanging(bytes.subarray(0, 100_000));
  const old = assert.rejects(core.append(upload.id, 0, body), refusal("locked"));
  // Silent from the moment on at which the storage has what came, whenever that is.
  await eventually("it takes over", async () => {
    const rest = core.append(upload.id, 100_000, bytes.subarray(100_000));
    return await rest.then(
      () => true,
      (error: unknown) => {
        if (isOperationalError(error, "locked") || isOperationalError(error, "offset_mismatch"))
          return false;
        throw error;
      },
    );
  });
  await old;
  assert.deepEqual(await core.read("k"), bytes);
});

onBoth("another process goes on where this one was asked to yield, or died", async (t, kind) => {
  const core = await openCore(t, { kind });
  const other = core.other();
  t.after(() => other.close());
  const bytes = randomBytes(250_000);
  const { upload } = await core.create("k", bytes.length);
  const { body } = hanging(bytes.subarray(0, 100_000));
  const old = core.append(upload.id, 0, body).catch((error: unknown) => error);
  await eventually("it is being received", async () => {
    return (await core.metadata.getUpload(upload.id))?.holder !== null;
  });
  const view = await eventuallyValue(() => other.settle(root, upload.id, { signal }));
  assert.equal(view.offset, 100_000);
  assert.match(String(((await old) as { code?: string }).code), /locked/);
  await other.append(root, upload.id, {
    offset: 100_000,
    body: chunks(bytes.subarray(100_000, 200_000)),
    complete: "at-length",
    signal,
  });
  // A holder that is dead does not answer; its lease runs out.
  const dead = { holder: "dead", now: new Date(0), until: new Date(Date.now() + 60_000) };
  assert.ok(await core.metadata.takeUpload(upload.id, dead));
  await assert.rejects(core.append(upload.id, 200_000, bytes.subarray(200_000)), refusal("locked"));
  core.pass(61_000);
  await core.append(upload.id, 200_000, bytes.subarray(200_000));
  assert.deepEqual(await core.read("k"), bytes);
});

onBoth(
  "a cancelled upload is gone at once, and a late writer brings nothing back",
  async (t, kind) => {
    const core = await openCore(t, { kind });
    const { upload } = await core.create("k", 200_000);
    const { body } = hanging(randomBytes(150_000));
    const running = core.append(upload.id, 0, body).catch((error: unknown) => error);
    await eventually("it is being received", async () => {
      return (await core.metadata.getUpload(upload.id))?.holder !== null;
    });
    await core.uploads.cancel(root, upload.id, { signal });
    assert.ok(await running);
    await assert.rejects(core.uploads.get(root, upload.id), refusal("upload_not_found"));
    await assert.rejects(core.append(upload.id, 0, randomBytes(1)), refusal("upload_not_found"));
    assert.equal(await core.metadata.getUpload(upload.id), undefined);
    assert.deepEqual(await pendingOf(core), []);
  },
);

onBoth(
  "an abandoned upload expires, in the storage too; a complete one keeps its object",
  async (t, kind) => {
    const core = await openCore(t, { kind, bucket: { uploadExpiryMs: 60_000 } });
    const bytes = randomBytes(150_000);
    const done = await core.create("done", bytes.length);
    await core.append(done.upload.id, 0, bytes);
    const left = await core.create("left", bytes.length);
    await core.append(left.upload.id, 0, bytes.subarray(0, 100_000));
    core.pass(59_000);
    assert.equal(await core.upkeep.round(), 0);
    // Each stored byte gives more time.
    await core.append(left.upload.id, 100_000, bytes.subarray(100_000, 100_001));
    core.pass(2_000);
    assert.equal(await core.upkeep.round(), 1, "the complete one is forgotten");
    await assert.rejects(core.uploads.get(root, done.upload.id), refusal("upload_not_found"));
    assert.equal((await core.uploads.get(root, left.upload.id)).offset, 100_001);
    core.pass(59_000);
    await assert.rejects(
      core.append(left.upload.id, 100_001, bytes.subarray(100_001)),
      refusal("upload_not_found"),
    );
    assert.equal(await core.upkeep.round(), 1);
    assert.equal(await core.metadata.getUpload(left.upload.id), undefined);
    assert.deepEqual(await pendingOf(core), []);
    assert.deepEqual(await core.read("done"), bytes);
  },
);

onBoth("a system clock that jumps ends nothing early", async (t, kind) => {
  const core = await openCore(t, { kind, bucket: { uploadExpiryMs: 60_000 } });
  const bytes = randomBytes(150_000);
  const { upload } = await core.create("k", bytes.length);
  await core.append(upload.id, 0, bytes.subarray(0, 50_000));
  for (const ms of [-2 * 3_600_000, 3 * 24 * 3_600_000]) {
    core.moveWall(ms);
    assert.equal(await core.upkeep.round(), 0);
    const view = await core.uploads.get(root, upload.id);
    const leftMs = view.expiresAt.getTime() - core.wallNow().getTime();
    assert.ok(leftMs > 50_000 && leftMs <= 60_000, `${leftMs} ms are left by the clock as it is`);
  }
  await core.append(upload.id, 50_000, bytes.subarray(50_000));
  core.moveWall(30 * 24 * 3_600_000);
  assert.equal(await core.upkeep.round(), 0);
  assert.deepEqual(await core.read("k"), bytes);
});

onBoth(
  "partials become one object, in order, one of them twice; parts may go after",
  async (t, kind) => {
    const core = await openCore(t, { kind });
    const pieces = [randomBytes(100_000), randomBytes(partBytes), randomBytes(3), Buffer.alloc(0)];
    const ids: string[] = [];
    for (const piece of pieces) {
      const { upload } = await core.uploads.create(root, {
        bucket: "b",
        kind: "partial",
        protocol: "tus",
        length: piece.length,
        signal,
      });
      if (piece.length > 0) await core.append(upload.id, 0, piece);
      ids.push(upload.id);
    }
    const [first = "", second = "", third = "", empty = ""] = ids;
    const parts = [second, first, empty, second, third];
    const request = { bucket: "b", protocol: "tus", parts, signal } as const;
    const { written } = await core.uploads.concatenate(root, { ...request, key: "whole" as never });
    const expected = Buffer.concat([1, 0, 1, 2].map((index) => pieces[index] ?? Buffer.alloc(0)));
    assert.equal(written?.object.length, expected.length);
    await core.uploads.cancel(root, second, { signal });
    assert.deepEqual(await core.read("whole"), expected);
    const gone = core.uploads.concatenate(root, { ...request, key: "again" as never });
    await assert.rejects(gone, refusal("upload_not_found"));
    const running = await core.uploads.create(root, {
      bucket: "b",
      kind: "partial",
      protocol: "tus",
      length: 5,
      signal,
    });
    const unfinished = { ...request, parts: [first, running.upload.id], key: "no" as never };
    await assert.rejects(core.uploads.concatenate(root, unfinished), refusal("invalid_request"));
    await assert.rejects(core.read("no"), refusal("object_not_found"));
  },
);

onBoth(
  "a quota counts what uploads have reserved, and gets it back in every ending",
  async (t, kind) => {
    const core = await openCore(t, { kind, bucket: { quotaBytes: 100_000 } });
    const noTrash = { trashBytes: 0, trashObjects: 0 };
    const usage = () => core.metadata.bucketUsage("b");
    const a = await core.create("a", 60_000);
    await assert.rejects(core.create("b", 40_001), refusal("quota_exceeded"));
    const b = await core.create("b", 40_000);
    await assert.rejects(core.create("c", 1), refusal("quota_exceeded"));
    await core.uploads.cancel(root, b.upload.id, { signal });
    assert.equal((await usage()).reservedBytes, 60_000);
    await core.append(a.upload.id, 0, randomBytes(60_000));
    assert.deepEqual(await usage(), { bytes: 60_000, reservedBytes: 0, objects: 1, ...noTrash });
    const grows = await core.create("d");
    await core.append(grows.upload.id, 0, randomBytes(30_000));
    assert.equal((await usage()).reservedBytes, 30_000);
    await assert.rejects(
      core.append(grows.upload.id, 30_000, randomBytes(10_001)),
      refusal("quota_exceeded"),
    );
    core.pass(25 * 3_600_000);
    await core.upkeep.round();
    assert.deepEqual(await usage(), { bytes: 60_000, reservedBytes: 0, objects: 1, ...noTrash });
  },
);

test("one access key has so many open uploads and begins so many a second", async (t) => {
  const core = await openCore(t, { kind: "append", openMax: 3, createsPerSecondMax: 4 });
  const made = [];
  for (const key of ["1", "2", "3"]) made.push(await core.create(key, 10));
  await assert.rejects(core.create("4", 10), refusal("rate_limited"));
  await core.uploads.cancel(root, made[0]?.upload.id ?? "", { signal });
  await core.create("4", 10);
  const fast = Array.from({ length: 9 }, () => core.create("5", 10));
  const refused = (await Promise.allSettled(fast)).filter(({ status }) => status === "rejected");
  assert.ok(refused.length >= 4);
});

onBoth(
  "a storage that fails in the middle keeps what was recorded, and the upload goes on",
  async (t, kind) => {
    let failures = 0;
    const failing = async <T>(call: () => Promise<T>): Promise<T> => {
      if (failures === 0) return await call();
      failures -= 1;
      throw new OperationalError("unavailable", "the storage has gone");
    };
    const wrap: CoreOptions["wrap"] = (driver) =>
      forward(driver, {
        parts: (parts) => {
          const { append } = parts;
          return forwardParts(parts, {
            writePart: (...given) => failing(() => parts.writePart(...given)),
            ...(append && { append: (...given) => failing(() => append.apply(parts, given)) }),
          });
        },
      });
    const core = await openCore(t, { kind, wrap });
    const bytes = randomBytes(500_000);
    const { upload } = await core.create("k", bytes.length);
    await core.append(upload.id, 0, bytes.subarray(0, 150_000));
    // More than any layer would try again.
    failures = 100;
    await assert.rejects(core.append(upload.id, 150_000, bytes.subarray(150_000)));
    failures = 0;
    const { offset } = await core.uploads.get(root, upload.id);
    assert.ok(offset >= 150_000 && offset < 500_000, `offset ${offset}`);
    await core.append(upload.id, offset, bytes.subarray(offset));
    assert.deepEqual(await core.read("k"), bytes);
    assert.equal(core.buffers.usedBytes, 0);
  },
);

async function pendingOf(core: Awaited<ReturnType<typeof openCore>>): Promise<string[]> {
  const pending: string[] = [];
  for await (const { key } of core.driver.parts?.listPending("", { signal }) ?? [])
    pending.push(key);
  return pending;
}

async function eventuallyValue<T>(run: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await run();
    } catch (error) {
      if (attempt === 5) throw error;
    }
  }
}
