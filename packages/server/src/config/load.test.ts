import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { z } from "zod";
import { ConfigError, loadConfig } from "./load.ts";
import { editDistance, nearest } from "./nearest.ts";
import { referenceMarkdown, referenceText } from "./reference.ts";
import { bytes, duration, secret } from "./schema.ts";

const schema = z.strictObject({
  host: z.string().default("127.0.0.1").describe("address to listen on"),
  port: z.int().min(0).max(65_535).default(8420).describe("port to listen on"),
  opsPort: z.int().default(8421).describe("port of operations"),
  rootKey: secret().optional().describe("ID:SECRET of the root key"),
  trust: z.boolean().default(false).describe("believe | proxies"),
  origins: z.array(z.string()).default([]).describe("allowed origins"),
  http: z
    .strictObject({
      bodyBytesMax: bytes({ max: "1 GiB" }).default("64 MiB").describe("largest body"),
      idle: duration().default("30 s").describe("time without a byte"),
    })
    .prefault({}),
});

function configFile(t: TestContext, content: string): string {
  const folder = mkdtempSync(join(tmpdir(), "roma-config-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "roma.json");
  writeFileSync(path, content);
  return path;
}

function problemsOf(run: () => unknown): readonly string[] {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.problems.map(({ path, message }) => `${path}: ${message}`);
  }
  return assert.fail("nothing was thrown");
}

test("flags win over the environment, the environment over the file, the file over defaults", (t) => {
  const file = configFile(
    t,
    JSON.stringify({ host: "file", port: 1, opsPort: 1, http: { idle: "1 s", bodyBytesMax: 7 } }),
  );
  const config = loadConfig(schema, {
    argv: ["--config", file, "--port=3", "--trust"],
    env: { ROMA_PORT: "2", ROMA_OPS_PORT: "2", ROMA_HTTP_IDLE: "2 s", PATH: "/bin" },
  });
  assert.equal(config.host, "file");
  assert.equal(config.port, 3);
  assert.equal(config.opsPort, 2);
  assert.equal(config.trust, true);
  assert.deepEqual(config.http, { idle: 2000, bodyBytesMax: 7 });
});

test("ROMA_CONFIG names the file, and the --config flag wins over it", (t) => {
  const first = configFile(t, '{"port":1}');
  const second = configFile(t, '{"port":2}');
  assert.equal(loadConfig(schema, { env: { ROMA_CONFIG: first } }).port, 1);
  const argv = ["--config", second];
  assert.equal(loadConfig(schema, { argv, env: { ROMA_CONFIG: first } }).port, 2);
});

test("the result is frozen, however deep", () => {
  const config = loadConfig(schema, { env: {} });
  assert.ok(Object.isFrozen(config) && Object.isFrozen(config.http));
  assert.ok(Object.isFrozen(config.origins));
});

test("all problems are reported together, each with its path and the nearest known name", (t) => {
  const file = configFile(
    t,
    JSON.stringify({ prot: 1, http: { idel: "1 s", bodyBytesMax: "2 GiB" }, __proto__x: 1 }),
  );
  const problems = problemsOf(() =>
    loadConfig(schema, {
      argv: ["--config", file, "--ops-prt", "7", "--port", "seven", "extra"],
      env: { ROMA_HOSTS: "x" },
    }),
  );
  assert.deepEqual(problems.toSorted(), [
    "--ops-prt: no such option; did you mean --ops-port?",
    "ROMA_HOSTS: no such option; did you mean ROMA_HOST?",
    "__proto__x: no such option",
    "extra: unexpected argument",
    "http.bodyBytesMax: must be at most 1 GiB",
    "http.idel: no such option; did you mean idle?",
    "port: Invalid input: expected number, received string",
    "prot: no such option; did you mean port?",
  ]);
});

test("a file that is missing, no JSON or no object is a problem, not a crash", (t) => {
  const missing = problemsOf(() =>
    loadConfig(schema, { argv: ["--config", "/nowhere.json"], env: {} }),
  );
  assert.match(missing.join(), /cannot be read \(ENOENT\)/);
  for (const content of ["{", "[]", "1"]) {
    const argv = ["--config", configFile(t, content)];
    assert.match(problemsOf(() => loadConfig(schema, { argv, env: {} })).join(), /is not /);
  }
  assert.match(
    problemsOf(() => loadConfig(schema, { argv: ["--port"], env: {} })).join(),
    /a value/,
  );
});

test("no problem ever prints a secret", () => {
  const problems = problemsOf(() =>
    loadConfig(schema, { env: { ROMA_ROOT_KEY: "root:hunter2", ROMA_PORT: "x" } }),
  );
  assert.doesNotMatch(problems.join(), /hunter2/);
  const config = loadConfig(schema, { env: { ROMA_ROOT_KEY: "root:hunter2" } });
  assert.doesNotMatch(JSON.stringify(config), /hunter2/);
  assert.equal(config.rootKey?.reveal(), "root:hunter2");
});

test("lists come from JSON or commas, booleans from words and --no-", () => {
  const env = { ROMA_ORIGINS: "a, b", ROMA_TRUST: "true" };
  assert.deepEqual(loadConfig(schema, { env }).origins, ["a", "b"]);
  assert.deepEqual(loadConfig(schema, { env: { ROMA_ORIGINS: '["x"]' } }).origins, ["x"]);
  assert.equal(loadConfig(schema, { env }).trust, true);
  assert.equal(loadConfig(schema, { env, argv: ["--no-trust"] }).trust, false);
});

test("the nearest name counts swapped neighbours as one edit, and far names are not offered", () => {
  assert.equal(editDistance("prot", "port"), 1);
  assert.equal(editDistance("", "abc"), 3);
  assert.equal(nearest("keepAliveTimout", ["keepAliveTimeout", "host"]), "keepAliveTimeout");
  assert.equal(nearest("zzzzzz", ["host", "port"]), undefined);
});

test("the reference lists name, kind, default with unit, meaning, variable and flag", () => {
  const markdown = referenceMarkdown(schema);
  assert.match(
    markdown,
    /\| `http\.bodyBytesMax` \| size \| `64 MiB` \| largest body \| `ROMA_HTTP_BODY_BYTES_MAX` \| `--http-body-bytes-max` \|/,
  );
  assert.match(markdown, /believe \\\| proxies/);
  assert.match(markdown, /\| `rootKey` \| secret \| none \|/);
  const text = referenceText(schema);
  assert.match(text, /--port NUMBER +port to listen on \(default: 8420\)/);
  assert.match(text, /--trust +believe/);
});
