// The canary: what it says of good storages, what it finds wrong with bad ones, and that it tidies up.

import { strict as assert } from "node:assert";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { isOperationalError, OperationalError } from "../../core/errors.ts";
import type { StorageCapabilities, StorageDriver } from "../../core/ports/storage-driver.ts";
import { assertEmpty, calm, put, read } from "../conformance/subject.ts";
import { faults } from "../layers/faults.ts";
import { forward } from "../layers/forward.ts";
import { withLayers } from "../layers/stack.ts";
import { openMemoryStorage } from "../memory/driver.ts";
import { openPosixStorage } from "../posix/driver.ts";
import { admitStorage, runCanary } from "./canary.ts";
import { type CanaryReport, canaryMarkdown } from "./report.ts";

const long = { form: "long", signal: calm } as const;

function memory(): StorageDriver {
  return openMemoryStorage({ id: "m" });
}

async function posix(t: TestContext): Promise<StorageDriver> {
  const root = await mkdtemp(join(tmpdir(), "roma-canary-"));
  t.after(() => rm(root, { recursive: true, force: true }));
  return await openPosixStorage({ id: "disk", root, createMarker: true });
}

const outcomes = ({ steps }: CanaryReport) =>
  Object.fromEntries(steps.map(({ name, outcome }) => [name, outcome]));
const verdicts = ({ capabilities }: CanaryReport) =>
  Object.fromEntries(capabilities.map(({ name, verdict }) => [name, verdict]));

for (const [name, open] of [
  ["memory", async () => memory()],
  ["posix", posix],
] as const) {
  test(`the long form passes on ${name}, sees what is declared, and leaves nothing`, async (t) => {
    const driver = withLayers(await open(t));
    const report = await runCanary(driver, long);
    assert.equal(report.refusal, undefined);
    assert.equal(report.ok, true);
    for (const { name: step, outcome, detail } of report.steps) {
      assert.ok(outcome === "passed" || outcome === "absent", `${step}: ${outcome} ${detail}`);
    }
    const absent = report.steps.filter(({ outcome }) => outcome === "absent");
    const offered = { append: driver.parts?.append, copy: driver.copy, space: driver.space };
    assert.deepEqual(
      absent.map((step) => step.name).toSorted(),
      ["presign", ...Object.entries(offered).flatMap(([key, on]) => (on ? [] : [key]))].toSorted(),
    );
    for (const { name: capability, verdict } of report.capabilities) {
      assert.ok(verdict === "as declared" || verdict === "not tried", `${capability}: ${verdict}`);
    }
    await assertEmpty(driver);
  });
}

test("the short form probes, writes, reads and deletes, and compares nothing", async () => {
  const driver = withLayers(memory());
  const report = await runCanary(driver, { ...long, form: "short" });
  assert.deepEqual(outcomes(report), {
    probe: "passed",
    write: "passed",
    "read and compare": "passed",
    "delete, twice": "passed",
  });
  assert.deepEqual(report.capabilities, []);
  await admitStorage(driver, { signal: calm });
  await assertEmpty(driver);
});

test("where nothing may be written, nothing is", async () => {
  const readOnly = forward(memory(), {
    put: () => assert.fail("a put"),
    delete: async () => undefined,
  });
  const report = await runCanary(withLayers(readOnly), { ...long, mayWrite: false });
  assert.equal(report.ok, true);
  assert.equal(outcomes(report).probe, "passed");
  assert.equal(outcomes(report).write, "skipped");
  await admitStorage(withLayers(readOnly), { signal: calm, mayWrite: false });
});

test("a storage that gives back other bytes is refused", async () => {
  const rules = [{ operation: "get", nth: 1, fault: { kind: "flip", at: 69_000 } }] as const;
  const driver = faults({ rules })(withLayers(memory()));
  const report = await runCanary(driver, long);
  assert.equal(report.ok, false);
  assert.match(report.refusal ?? "", /read and compare: other bytes came back, from byte 69000/);
  assert.equal(
    outcomes(report)["delete, twice"],
    "passed",
    "the other steps are tried all the same",
  );
  await assert.rejects(admitStorage(flipping(), { signal: calm }), /storage m is refused: read/);
});

test("what is declared and not kept is less than declared, by name", async () => {
  const inner = memory();
  const lying: StorageDriver = withLayers(
    forward(inner, {
      put: (key, body, { createOnly: _, ...given }) => inner.put(key, body, given),
    }),
  );
  const report = await runCanary(lying, long);
  assert.equal(verdicts(report).conditionalPut, "less than declared");
  assert.equal(report.refusal, "conditionalPut is declared and was not seen");
});

/** As a storage that keeps keys as folders: a list does not look below a blob. */
const hiding = (inner: StorageDriver): StorageDriver =>
  forward(inner, {
    list: async function* (prefix, options) {
      let outer: string | undefined;
      for await (const head of inner.list(prefix, options)) {
        if (outer !== undefined && head.key.startsWith(`${outer}/`)) continue;
        outer = head.key;
        yield head;
      }
    },
  });

/** As one that refuses a key below a blob. */
const refusingNested = (inner: StorageDriver): StorageDriver =>
  forward(inner, {
    put: async (key, body, options) => {
      if (key.endsWith("/a/b")) throw new OperationalError("invalid_key", "a is no folder");
      return await inner.put(key, body, options);
    },
  });

for (const [title, nest] of [
  ["hides", hiding],
  ["refuses", refusingNested],
] as const) {
  test(`a storage that ${title} a key below another one is told from one that takes both`, async () => {
    const nestedOf = async (driver: StorageDriver) => {
      const { capabilities, refusal } = await runCanary(withLayers(driver), long);
      const found = capabilities.find(({ name }) => name === "nestedKeys");
      return [found?.declared, found?.seen, found?.verdict, refusal];
    };
    const refusal = "nestedKeys is declared and was not seen";
    const inner = memory();
    assert.deepEqual(await nestedOf(inner), ["yes", "yes", "as declared", undefined]);
    const lying = await nestedOf(nest(inner));
    assert.deepEqual(lying, ["yes", "no", "less than declared", refusal]);
    const declaring = (driver: StorageDriver): StorageDriver => ({
      ...forward(driver, {}),
      capabilities: { ...driver.capabilities, nestedKeys: false },
    });
    const honest = await nestedOf(declaring(nest(inner)));
    assert.deepEqual(honest, ["no", "no", "as declared", undefined]);
    const modest = await nestedOf(declaring(inner));
    assert.deepEqual(modest, ["no", "yes", "more than declared", undefined]);
    await assertEmpty(inner);
  });
}

test("what is kept and not declared is told, and no reason to refuse", async () => {
  const inner = memory();
  const capabilities: StorageCapabilities = {
    ...inner.capabilities,
    conditionalPut: false,
    etagIsMd5: false,
    listing: "eventual",
  };
  const report = await runCanary(withLayers({ ...forward(inner, {}), capabilities }), long);
  assert.equal(report.ok, true);
  const { conditionalPut, etagIsMd5, listing } = verdicts(report);
  assert.deepEqual([conditionalPut, etagIsMd5, listing], Array(3).fill("more than declared"));
});

test("wrong settings are named with their reason, and the rest is not tried", async () => {
  const cases = [
    [{ vendorCode: "AuthorizationHeaderMalformed" }, /write: region: .*another region/],
    [{ vendorCode: "SecondLevelDomainForbidden" }, /addressStyle: .*virtual/],
    [{ vendorCode: "NoSuchBucket" }, /bucket: there is no such bucket/],
    [{ vendorCode: "SignatureDoesNotMatch" }, /secretAccessKey: /],
    [{ vendorCode: "XAmzContentSHA256Mismatch" }, /vendor: /],
    [{ connection: "ENOTFOUND" }, /endpoint: .*\(ENOTFOUND\)/],
    [{ vendorCode: "constructor" }, /the storage answered so \[unavailable\]/],
  ] as const;
  for (const [context, expected] of cases) {
    const error = new OperationalError("unavailable", "the storage answered so", { context });
    const refusing = forward(memory(), { put: () => Promise.reject(error) });
    const report = await runCanary(refusing, long);
    assert.match(report.refusal ?? "", expected);
    assert.equal(outcomes(report).ranges, "skipped");
    await assert.rejects(admitStorage(refusing, { signal: calm }), (refusal) => {
      assert.ok(isOperationalError(refusal, "unavailable"));
      assert.equal(refusal.retryable, false);
      assert.match(refusal.message, expected);
      return true;
    });
  }
});

test("a canary that is stopped rejects and tidies up", async () => {
  const inner = memory();
  const controller = new AbortController();
  const stopping = forward(inner, {
    head: async (key, given) => {
      controller.abort(new Error("stopped"));
      return await inner.head(key, given);
    },
  });
  await assert.rejects(
    runCanary(withLayers(stopping), { ...long, signal: controller.signal }),
    /stopped/,
  );
  await assertEmpty(inner);
});

test("signed addresses are used as a client without credentials uses them", async (t) => {
  const inner = memory();
  const server = createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? "", "http://localhost");
    const key = decodeURIComponent(pathname.slice(1));
    if (searchParams.get("verb") !== request.method) response.statusCode = 403;
    else if (request.method === "PUT") await put(inner, key, await bodyOf(request));
    else response.write(await read(inner, key));
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const signing = (wrong: boolean): StorageDriver => ({
    ...forward(inner, {}),
    presign: async ({ key, verb }) => {
      const method = verb === "put" ? "PUT" : "GET";
      const address = `http://127.0.0.1:${port}/${encodeURIComponent(key)}`;
      return { method, url: `${address}?verb=${wrong ? "none" : method}`, headers: {} };
    },
  });
  const report = await runCanary(withLayers(signing(false)), long);
  assert.equal(outcomes(report).presign, "passed");
  assert.equal(verdicts(report).presign, "as declared");
  const refused = await runCanary(withLayers(signing(true)), long);
  assert.match(refused.refusal ?? "", /presign: PUT of the signed address answered 403/);
});

test("the report is Markdown with every step and capability, and cells that do not break the table", async () => {
  const error = new OperationalError("unavailable", "a | b\nc");
  const failing = forward(memory(), { list: () => throwing(error) });
  const report = await runCanary(withLayers(failing, { retry: { attemptsMax: 1 } }), long);
  const text = canaryMarkdown(report, { driver: "memory", region: "here" });
  assert.match(
    text,
    /^## Storage test: failed\n\n- storage: m\n- driver: memory\n- region: here\n/,
  );
  assert.match(text, /\| list \| \*\*failed\*\* \| \d+ ms \| a \\\| b c \[unavailable\] \|/);
  assert.match(text, /\| conditionalPut \| yes \| yes \| as declared \|/);
  assert.match(text, /\| durability \| none \| {2}\| not tried \|/);
  for (const { name } of report.steps) assert.ok(text.includes(`| ${name} |`), name);
  assert.match(
    canaryMarkdown(await runCanary(memory(), { ...long, form: "short" })),
    /result: failed: write/,
  );
});

function flipping(): StorageDriver {
  const rules = [{ operation: "get", fault: { kind: "flip", at: 1 } }] as const;
  return faults({ rules })(withLayers(memory()));
}

async function* throwing(error: Error): AsyncGenerator<never> {
  yield* [];
  throw error;
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}
