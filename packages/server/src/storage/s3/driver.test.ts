// The driver against an emulated storage: the contract, and what goes wrong on the way there and back.

import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import { type TestContext, test } from "node:test";
import { KiB, MiB } from "@roma/contract";
import { isOperationalError } from "../../core/errors.ts";
import { systemClock } from "../../core/ports/clock.ts";
import type { Repeat } from "../../core/ports/storage-driver.ts";
import {
  assertSame,
  becomes,
  bytesOf,
  calm,
  chunked,
  hanging,
  keysOf,
  put,
  read,
  rejectsWith,
  soon,
} from "../conformance/subject.ts";
import { describeStorageDriver, type OpenStorage } from "../conformance.ts";
import { withLayers } from "../layers/stack.ts";
import { isTimedOut } from "../layers/timeout.ts";
import { s3Config } from "./config.ts";
import { openS3Storage, type S3Options, type S3Storage } from "./driver.ts";
import { type Answered, Emulator, type EmulatorOptions, type Fault } from "./emulator/testing.ts";
import { PartBuffers } from "./part-buffers.ts";
import { providers } from "./providers.ts";

interface Opened {
  readonly emulator: Emulator;
  readonly driver: S3Storage;
  readonly reopen: () => S3Storage;
}

async function open(
  t: TestContext,
  options: EmulatorOptions = {},
  settings: Partial<S3Options> = {},
): Promise<Opened> {
  const emulator = await new Emulator(options).listen();
  const opened: S3Storage[] = [];
  const reopen = (): S3Storage => {
    const driver = openS3Storage({ ...settingsOf(emulator, options), ...settings });
    opened.push(driver);
    return driver;
  };
  t.after(async () => {
    // A body that a failed test left unread would hold up a polite end.
    const disposals = opened.map((driver) => driver[Symbol.asyncDispose]());
    await emulator[Symbol.asyncDispose]();
    await Promise.all(disposals);
  });
  return { emulator, driver: reopen(), reopen };
}

function settingsOf(emulator: Emulator, options: EmulatorOptions): S3Options {
  const { vendor = "aws-s3", signature = "s3" } = options;
  const { accessKeyId, secretAccessKey, sessionToken } = emulator.key;
  const { endpoint, region, bucket, lookup } = emulator;
  const given = { vendor, signature, endpoint, region, bucket, accessKeyId, secretAccessKey };
  const parsed = s3Config.parse({ ...given, ...(sessionToken !== undefined && { sessionToken }) });
  return { id: "s3", ...parsed, lookup };
}

const conformance =
  (options: EmulatorOptions, layered = false): OpenStorage =>
  async (t) => {
    const { partBytesMin, partCopy } = providers[options.vendor ?? "aws-s3"];
    // Ranges as short as the vendor allows, so that a copy by ranges is a copy of little.
    const ranges = { copyBytesMax: partBytesMin, copyPartBytes: partBytesMin };
    const settings = { keyPrefix: "some/prefix/", ...(partCopy && ranges) };
    const { driver, reopen } = await open(t, options, settings);
    const wrap = (inner: S3Storage) => (layered ? withLayers(inner) : inner);
    return { driver: wrap(driver), reopen: async () => wrap(reopen()) };
  };

// Both ends of each connection are this process's.
const idleConnectionsMax = 64;

describeStorageDriver("s3 on an emulated AWS S3", conformance({}), { idleConnectionsMax });
describeStorageDriver(
  "s3 on an emulated OSS with its own signature, with all layers",
  conformance({ vendor: "alibaba-oss", signature: "native" }, true),
  { digests: true, idleConnectionsMax },
);
describeStorageDriver("s3 on an emulated OBS", conformance({ vendor: "huawei-obs" }), {
  idleConnectionsMax,
});
describeStorageDriver("s3 on an emulated R2", conformance({ vendor: "cloudflare-r2" }), {
  idleConnectionsMax,
});

test("a body of known length is one request, a short one is sent with its MD5", async (t) => {
  const { emulator, driver } = await open(t);
  await put(driver, "long", bytesOf(3 * MiB), { length: 3 * MiB });
  await put(driver, "short", bytesOf(10 * KiB), { length: 10 * KiB });
  assert.deepEqual(emulator.requests, ["PUT object", "HEAD object", "PUT object", "HEAD object"]);
});

test("a body of unknown length that ends within a part is one request", async (t) => {
  const { emulator, driver } = await open(t, {}, { partBytes: 5 * MiB });
  for (const length of [0, 256 * KiB, 256 * KiB + 1, 5 * MiB]) {
    emulator.requests.length = 0;
    const bytes = bytesOf(length);
    await put(driver, "unknown", bytes);
    assert.deepEqual(emulator.requests, ["PUT object", "HEAD object"], String(length));
    assertSame(await read(driver, "unknown"), bytes);
  }
});

test("a longer one goes in parts and is whole, also where it ends with a part", async (t) => {
  const { emulator, driver } = await open(t, {}, { partBytes: 5 * MiB });
  for (const length of [5 * MiB + 1, 10 * MiB, 17 * MiB + 3]) {
    emulator.requests.length = 0;
    const bytes = bytesOf(length);
    const head = await put(driver, "parts", bytes);
    const parts = Math.ceil(length / (5 * MiB));
    assert.equal(emulator.requests.filter((name) => name === "PUT part").length, parts);
    assert.equal(head.length, length);
    assert.match(head.etag, new RegExp(`^[0-9a-f]{32}-${parts}$`));
    assertSame(await read(driver, "parts"), bytes);
    assert.equal(emulator.uploads.size, 0);
  }
});

test("whatever ends a put in parts cancels its upload and returns its buffers", async (t) => {
  const buffers = new PartBuffers();
  const { emulator, driver } = await open(t, {}, { partBytes: 5 * MiB, buffers });
  async function* broken() {
    yield* chunked(bytesOf(12 * MiB));
    throw new Error("the client is gone");
  }
  await assert.rejects(driver.put("a", broken(), { signal: calm }), /the client is gone/);
  const controller = new AbortController();
  emulator.requests.length = 0;
  const putting = driver.put("b", hanging(bytesOf(6 * MiB), 3), { signal: controller.signal });
  // Nobody cancels an upload whose creation was not answered yet.
  await becomes(() => emulator.requests.includes("PUT part"));
  controller.abort(new Error("deadline"));
  await assert.rejects(soon(putting), /deadline/);
  emulator.fault = ({ operation }) =>
    operation === "part" ? { status: 403, code: "AccessDenied" } : undefined;
  await rejectsWith("unavailable", put(driver, "c", bytesOf(12 * MiB)));
  emulator.fault = ({ operation, method }) =>
    operation === "upload" && method === "POST" ? { status: 400, code: "InvalidPart" } : undefined;
  await rejectsWith("invalid_part", put(driver, "d", bytesOf(12 * MiB)));
  emulator.fault = () => undefined;
  await driver[Symbol.asyncDispose]();
  assert.equal(emulator.uploads.size, 0);
  assert.equal(emulator.objects.size, 0);
  assert.equal(buffers.usedBytes, 0);
});

test("an upload is cancelled also where the first tries to cancel it fail", async (t) => {
  const { emulator, driver } = await open(t, {}, { partBytes: 5 * MiB });
  let refused = 1;
  emulator.fault = ({ method, operation }) => {
    if (operation === "part") return { status: 403, code: "AccessDenied" };
    if (method !== "DELETE" || refused === 0) return undefined;
    refused -= 1;
    return { reset: true };
  };
  await rejectsWith("unavailable", put(driver, "k", bytesOf(6 * MiB)));
  await driver[Symbol.asyncDispose]();
  assert.equal(emulator.uploads.size, 0);
});

test("a streamed body that fails, or is not as long as declared, stores nothing", async (t) => {
  const { emulator, driver } = await open(t);
  const bytes = bytesOf(MiB);
  await put(driver, "k", "old");
  async function* ending(last: () => Promise<Uint8Array | undefined>) {
    yield* chunked(bytes);
    const more = await last();
    if (more !== undefined) yield more;
  }
  const options = { signal: calm, length: MiB };
  const failure = new Error("the client's digest differs");
  const failing = ending(() => Promise.reject(failure));
  await assert.rejects(driver.put("k", failing, options), (error) => error === failure);
  const longer = ending(async () => Uint8Array.of(1));
  await rejectsWith("incomplete_body", driver.put("k", longer, options));
  await rejectsWith("incomplete_body", put(driver, "k", bytes, { length: MiB + 1 }));
  const { signal } = timedOut();
  const hung = driver.put("k", hanging(bytes.subarray(1)), { signal, length: MiB });
  await assert.rejects(soon(hung), /deadline/);
  assert.equal((await read(driver, "k")).toString(), "old");
  // An empty chunk at the end is no byte more.
  await driver.put(
    "k",
    ending(async () => new Uint8Array()),
    options,
  );
  assertSame(await read(driver, "k"), bytes);
  assert.deepEqual([...emulator.objects.keys()], ["k"]);
});

test("an answer that comes before the body has ended fails the put at once", async (t) => {
  const { emulator, driver } = await open(t);
  emulator.fault = () => ({ status: 403, code: "AccessDenied" });
  const hung = driver.put("k", hanging(bytesOf(MiB)), { signal: calm, length: 2 * MiB });
  await rejectsWith("unavailable", soon(hung));
});

test("a part that failed in passing is sent again where the put may repeat, also on another connection", async (t) => {
  const { emulator, driver } = await open(t, {}, { partBytes: 5 * MiB });
  const faults: Fault[] = [
    { status: 503, code: "SlowDown" },
    { reset: true },
    { loseAnswer: true },
  ];
  emulator.fault = ({ operation }) => (operation === "part" ? faults.shift() : undefined);
  const bytes = bytesOf(16 * MiB);
  const repeat: Repeat = async (signal, send) => {
    for (;;) {
      try {
        return await send();
      } catch (error) {
        signal.throwIfAborted();
        assert.ok(isOperationalError(error) && error.retryable);
      }
    }
  };
  await put(driver, "again", bytes, { repeat });
  assert.equal(faults.length, 0);
  faults.push({ status: 503, code: "SlowDown" });
  await rejectsWith("rate_limited", put(driver, "once", bytes));
  assertSame(await read(driver, "again"), bytes);
});

test("a wrong ETag after a put is a mismatch, and the wrong bytes do not stay", async (t) => {
  const { emulator, driver } = await open(t, {}, { partBytes: 5 * MiB });
  const lie = { etag: "0".repeat(32) };
  emulator.fault = ({ method, operation }) =>
    method === "PUT" || (method === "POST" && operation === "upload") ? lie : undefined;
  await rejectsWith("checksum_mismatch", put(driver, "short", bytesOf(100)));
  await rejectsWith("checksum_mismatch", put(driver, "long", bytesOf(MiB), { length: MiB }));
  await rejectsWith("checksum_mismatch", put(driver, "parts", bytesOf(11 * MiB)));
  emulator.fault = ({ method, operation }) =>
    method === "POST" && operation === "upload" ? lie : undefined;
  await rejectsWith("checksum_mismatch", put(driver, "parts", bytesOf(11 * MiB)));
  await becomes(() => emulator.objects.size === 0 && emulator.uploads.size === 0);
});

test("OSS: a wrong CRC-64 after a put is a mismatch", async (t) => {
  const { emulator, driver } = await open(t, { vendor: "alibaba-oss" });
  await put(driver, "right", bytesOf(MiB), { length: MiB });
  assert.match(emulator.objects.get("right")?.etag ?? "", /^[0-9A-F]{32}$/);
  emulator.objects.clear();
  emulator.crcTold = "1";
  await rejectsWith("checksum_mismatch", put(driver, "wrong", bytesOf(MiB), { length: MiB }));
  await rejectsWith("checksum_mismatch", put(driver, "wrong", bytesOf(20 * MiB)));
  await becomes(async () => (await keysOf(driver)).length === 0);
});

test("an encrypting storage's ETag is not taken for an MD5", async (t) => {
  const { emulator, driver } = await open(t);
  emulator.headers = { "x-amz-server-side-encryption": "aws:kms" };
  emulator.fault = ({ method }) => (method === "PUT" ? { etag: "f".repeat(32) } : undefined);
  await rejectsWith("unavailable", put(driver, "k", bytesOf(MiB), { length: MiB }));
  assert.equal(driver.facts().etagIsMd5, false);
  // The blob that was not believed may go only now.
  await put(driver, "k1", bytesOf(MiB), { length: MiB });
  await put(driver, "k2", bytesOf(20 * MiB), { length: 20 * MiB });
  assertSame(await read(driver, "k2"), bytesOf(20 * MiB));
});

test("a completion whose answer is lost, or is 200 with an error, is looked for", async (t) => {
  const { emulator, driver } = await open(t, {}, { partBytes: 5 * MiB });
  const bytes = bytesOf(11 * MiB);
  const onComplete = (fault: Fault) => {
    emulator.fault = ({ method, operation }) =>
      method === "POST" && operation === "upload" ? fault : undefined;
  };
  onComplete({ loseAnswer: true });
  const head = await put(driver, "lost", bytes);
  assert.equal(head.length, bytes.length);
  assertSame(await read(driver, "lost"), bytes);
  const body = "<Error><Code>InternalError</Code></Error>";
  onComplete({ status: 200, body });
  const failed = put(driver, "never", bytes);
  await assert.rejects(failed, (error) => isOperationalError(error, "unavailable"));
  await rejectsWith("object_not_found", driver.head("never", { signal: calm }));
  await becomes(() => emulator.uploads.size === 0);
});

test("a refused storage of 300 answers of 1 MB keeps sockets and memory flat", async (t) => {
  const { emulator, driver } = await open(t);
  const body = Buffer.alloc(MiB, 0x41);
  emulator.fault = () => ({ status: 403, body });
  for (let turn = 0; turn < 300; turn += 1) {
    await rejectsWith("unavailable", driver.get("x", { signal: calm }));
  }
  await noSocketsLeft(emulator);
});

test("what the storage answers has one code each", async (t) => {
  const { emulator, driver } = await open(t);
  const cases: readonly (readonly [Fault, string, boolean])[] = [
    [{ status: 404, code: "NoSuchKey" }, "object_not_found", false],
    [{ status: 404, code: "NoSuchBucket" }, "unavailable", false],
    [{ status: 403, code: "AccessDenied" }, "unavailable", false],
    [{ status: 403, code: "SignatureDoesNotMatch" }, "unavailable", false],
    [{ status: 412, code: "PreconditionFailed" }, "precondition_failed", false],
    [{ status: 503, code: "SlowDown" }, "rate_limited", true],
    [{ status: 429, body: "" }, "rate_limited", true],
    [{ status: 503, code: "ServiceUnavailable" }, "unavailable", true],
    [{ status: 500, body: "<html>no XML" }, "unavailable", true],
    [{ status: 403, code: "QuotaExceeded" }, "storage_full", true],
    [{ status: 507, body: "" }, "storage_full", true],
    [{ status: 400, code: "BadDigest" }, "checksum_mismatch", false],
    [{ status: 416, code: "InvalidRange" }, "range_unsatisfiable", false],
    [{ status: 403, code: "SecondLevelDomainForbidden" }, "unavailable", false],
    [{ status: 302, body: "" }, "unavailable", false],
    [{ reset: true }, "unavailable", true],
  ];
  for (const [fault, code, retryable] of cases) {
    emulator.fault = () => fault;
    await assert.rejects(driver.get("x", { signal: calm }), (error) => {
      assert.ok(isOperationalError(error), `${JSON.stringify(fault)}: ${error}`);
      assert.deepEqual([error.code, error.retryable], [code, retryable], JSON.stringify(fault));
      assert.doesNotMatch(error.message, /storage\.test|AKTEST/);
      return true;
    });
  }
  emulator.fault = ({ key }) => (key === "" ? { status: 404, code: "NoSuchBucket" } : undefined);
  await rejectsWith("unavailable", driver.head("missing", { signal: calm }));
});

test("a storage that hangs is left as soon as the signal aborts", async (t) => {
  const { emulator, driver } = await open(t);
  emulator.fault = () => ({ hang: true });
  await assert.rejects(soon(driver.head("x", { signal: timedOut().signal })), /deadline/);
  await assert.rejects(
    soon(put(driver, "x", bytesOf(MiB), { length: MiB, signal: timedOut().signal })),
    /deadline/,
  );
  await noSocketsLeft(emulator);
});

test("a clock that is an hour off is corrected, in presigned addresses too", async (t) => {
  const clockSkewMs = 3_600_000;
  const { driver } = await open(t, { clockSkewMs });
  await driver.probe({ signal: calm });
  assert.ok(Math.abs(driver.facts().clockSkewMs - clockSkewMs) < 60_000);
  await put(driver, "k", bytesOf(10));
  assert.equal((await read(driver, "k")).length, 10);
});

test("another region than the settings' is taken from the answer", async (t) => {
  const { driver } = await open(t, { region: "eu-far-9" }, { region: "us-east-1" });
  await put(driver, "k", bytesOf(10));
  assert.equal(driver.facts().region, "eu-far-9");
});

test("temporary credentials that the storage calls expired are asked for again", async (t) => {
  const emulated = { sessionToken: "fresh" };
  let asked = 0;
  const { driver } = await open(t, emulated, {
    credentialSource: async () => {
      asked += 1;
      const expiresAt = new Date(systemClock.now().getTime() + 3_600_000);
      const sessionToken = asked === 1 ? "stale" : "fresh";
      return { accessKeyId: "AKTEST", secretAccessKey: "secret", sessionToken, expiresAt };
    },
  });
  await put(driver, "k", bytesOf(10));
  await put(driver, "k", bytesOf(10));
  assert.equal(asked, 2);
});

test("a wrong vendor or address style is unavailable, and the message names the row", async (t) => {
  const { emulator } = await open(t, { vendor: "huawei-obs" });
  const settings = settingsOf(emulator, { vendor: "ceph-rgw" });
  const wrong = openS3Storage({ ...settings, region: emulator.region });
  await assert.rejects(put(wrong, "k", "x"), (error) => {
    assert.ok(isOperationalError(error, "unavailable"));
    assert.match(error.message, /NoSuchKey.*vendor \(Ceph RGW\).*addressStyle/);
    return true;
  });
  await wrong[Symbol.asyncDispose]();
  const noPath = {
    ...settingsOf(emulator, { vendor: "alibaba-oss" }),
    addressStyle: "path",
  } as const;
  assert.throws(() => openS3Storage(noPath), /addressStyle/);
});

test("OSS's own signature is good for a query with an empty value: a bucket without a prefix is listed", async (t) => {
  const { driver } = await open(t, { vendor: "alibaba-oss", signature: "native" });
  await put(driver, "k", "x");
  await driver.probe({ signal: calm });
  const blobs = await Array.fromAsync(driver.list("", { signal: calm }));
  assert.deepEqual(
    blobs.map(({ key }) => key),
    ["k"],
  );
});

test("createOnly is refused where the vendor has no means", async (t) => {
  const { driver } = await open(t, { vendor: "alibaba-oss" });
  assert.equal(driver.capabilities.conditionalPut, false);
  await rejectsWith("unsupported", put(driver, "k", "x", { createOnly: true }));
  const native = await open(t, { vendor: "alibaba-oss", signature: "native" });
  await put(native.driver, "k", "x", { createOnly: true });
  await rejectsWith("already_exists", put(native.driver, "k", "y", { createOnly: true }));
});

test("a copy is whole, and refused where the source is missing or the length another", async (t) => {
  const { driver } = await open(t);
  const bytes = bytesOf(100_000);
  await put(driver, "from ä", bytes);
  const copy = driver.copy ?? assert.fail("no copy");
  const head = await copy("from ä", "to", { signal: calm, length: bytes.length });
  assert.equal(head.key, "to");
  assertSame(await read(driver, "to"), bytes);
  await rejectsWith("object_not_found", copy("missing", "to", { signal: calm }));
  await rejectsWith("incomplete_body", copy("to", "to2", { signal: calm, length: 1 }));
  await put(driver, "taken", "x");
  await rejectsWith("already_exists", copy("to", "taken", { signal: calm, createOnly: true }));
});

test("a copy by ranges is bound to its source, goes on after SlowDown, and leaves nothing where it fails", async (t) => {
  const ranges = { copyBytesMax: 5 * MiB, copyPartBytes: 5 * MiB };
  const { emulator, driver: bare } = await open(t, {}, ranges);
  const driver = withLayers(bare);
  const bytes = bytesOf(16 * MiB);
  await put(driver, "from", bytes);
  assert.ok(driver.copy);
  const faults: Fault[] = [{ status: 503, code: "SlowDown" }];
  emulator.fault = ({ operation }) => (operation === "part" ? faults.shift() : undefined);
  await driver.copy("from", "to", { signal: calm });
  assertSame(await read(driver, "to"), bytes);
  assert.equal(faults.length, 0);
  assert.equal(emulator.requests.filter((line) => line === "PUT part").length, 2 + 4 + 1);
  // The source is another one from the second range on.
  let parts = 0;
  emulator.fault = ({ operation }) => {
    if (operation !== "part") return undefined;
    parts += 1;
    const stored = emulator.objects.get("from");
    if (parts === 2 && stored) emulator.objects.set("from", { ...stored, etag: "0".repeat(32) });
    return undefined;
  };
  await rejectsWith("precondition_failed", driver.copy("from", "third", { signal: calm }));
  await becomes(() => emulator.uploads.size === 0);
  assert.equal(emulator.objects.has("third"), false);
});

test("a copy that makes progress is not taken for a hung one", async (t) => {
  const ranges = { copyBytesMax: 100 * KiB, copyPartBytes: 100 * KiB };
  const { emulator, driver: bare } = await open(t, { vendor: "alibaba-oss" }, ranges);
  await put(bare, "from", bytesOf(1150 * KiB));
  const answerMs = 500;
  // Each of twelve parts takes so long; four are under way at once, and together take less than an answer may.
  const partMs = 100;
  let now = 0;
  const pass = (ms: number) => (request: Answered) => {
    if (request.operation === "part") now += ms;
    return undefined;
  };
  const clock = { now: () => new Date(), monotonicMs: () => now };
  const driver = withLayers(bare, { clock, timeout: { answerMs, progressMs: answerMs } });
  assert.ok(driver.copy);
  emulator.fault = pass(partMs);
  await driver.copy("from", "to", { signal: calm });
  assert.equal(now, 12 * partMs);
  assert.ok(now > 2 * answerMs, "it took longer than one answer may");
  const hang = pass(answerMs);
  emulator.fault = (request) =>
    hang(request) ?? (request.operation === "part" ? { hang: true } : undefined);
  await assert.rejects(driver.copy("from", "to", { signal: calm }), isTimedOut);
  // By the driver, which is closed only then: it would try again for long.
  await becomes(() => emulator.uploads.size === 0);
});

test("of many deletes the storage tells which it did not do; a key that fits no XML goes by itself", async (t) => {
  const { emulator, driver } = await open(t);
  const keys = ["a", "b & <c>", "ctrl\u0001", "kept"];
  await Promise.all(keys.map((key) => put(driver, key, "x")));
  emulator.undeletable.add("kept");
  assert.ok(driver.deleteMany);
  emulator.requests.length = 0;
  const failed = await driver.deleteMany([...keys, "missing"], { signal: calm });
  assert.deepEqual(
    failed.map(({ key, error }) => [key, error.code, error.retryable]),
    [["kept", "unavailable", true]],
  );
  assert.deepEqual(emulator.requests, ["POST bucket", "DELETE object"]);
  assert.deepEqual(await keysOf(driver), ["kept"]);
  emulator.fault = () => ({ status: 200, code: "InternalError" });
  await rejectsWith("unavailable", driver.deleteMany(["kept"], { signal: calm }));
  const gcs = await open(t, { vendor: "gcs" });
  assert.equal(gcs.driver.deleteMany, undefined);
});

test("a page that repeats itself ends a list with an error", async (t) => {
  const { emulator, driver } = await open(t);
  const contents =
    "<Contents><Key>a</Key><LastModified>2026-01-01T00:00:00Z</LastModified><Size>1</Size></Contents>";
  const body = `<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>${contents}</ListBucketResult>`;
  emulator.fault = () => ({ status: 200, body });
  await rejectsWith("unavailable", keysOf(driver));
});

test("a get that is cut short fails instead of ending", async (t) => {
  const { emulator, driver } = await open(t);
  await put(driver, "k", bytesOf(1000));
  emulator.fault = () => ({ cutAt: 500 });
  await rejectsWith("unavailable", read(driver, "k"));
});

test("16 long bodies at once stay within the buffers, and all are whole", async (t) => {
  const buffers = new PartBuffers({ bytesMax: 32 * MiB });
  const { emulator, driver } = await open(t, {}, { partBytes: 5 * MiB, buffers });
  let peak = 0;
  const watch = setInterval(() => {
    peak = Math.max(peak, buffers.usedBytes);
  }, 1);
  const bytes = bytesOf(11 * MiB);
  const md5 = createHash("md5").update(bytes).digest("hex");
  await Promise.all(Array.from({ length: 16 }, (_, index) => put(driver, `k${index}`, bytes)));
  clearInterval(watch);
  assert.ok(peak <= 32 * MiB && peak > 10 * MiB, `${peak} bytes`);
  assert.equal(buffers.usedBytes, 0);
  for (const { bytes: stored } of emulator.objects.values()) {
    assert.equal(createHash("md5").update(stored).digest("hex"), md5);
  }
});

async function noSocketsLeft(emulator: Emulator): Promise<void> {
  await becomes(() => emulator.sockets === 0);
}

function timedOut(): AbortController {
  const controller = new AbortController();
  setTimeout(() => controller.abort(new Error("deadline")), 50);
  return controller;
}

test("blobs put together are compared by their MD5, and nothing is left where one differs", async (t) => {
  const { emulator, driver } = await open(t);
  const bodies = [bytesOf(5 * MiB), bytesOf(7)];
  const from = [];
  for (const [index, bytes] of bodies.entries()) {
    await put(driver, `from ${index}`, bytes, { length: bytes.length });
    const digests = { md5: createHash("md5").update(bytes).digest() };
    from.push({ key: `from ${index}`, length: bytes.length, digests });
  }
  assert.ok(driver.concat);
  emulator.requests.length = 0;
  await driver.concat(from, "to", { signal: calm });
  assertSame(await read(driver, "to"), Buffer.concat(bodies));
  // No byte passed here.
  assert.deepEqual(emulator.requests.filter((line) => line !== "PUT part").slice(0, 3), [
    "POST uploads",
    "POST upload",
    "HEAD object",
  ]);
  const other = from.map((source) => ({ ...source, digests: { md5: new Uint8Array(16) } }));
  await rejectsWith("checksum_mismatch", driver.concat(other, "other", { signal: calm }));
  await becomes(() => emulator.uploads.size === 0);
  assert.equal(emulator.objects.has("other"), false);
});
