import assert from "node:assert/strict";
import { test } from "node:test";
import { parseOptions } from "./options.ts";

const key = "reader.a.secret:with.marks";

test("what is left out comes from the environment, then from the defaults", () => {
  assert.deepEqual(parseOptions(undefined, { ROMA_KEY: key }), {
    endpoint: "http://127.0.0.1:8420",
    credential: { id: "reader", secret: "a.secret:with.marks" },
    bucket: "parse",
    prefix: "",
    baseUrl: "http://127.0.0.1:8420/v1/objects/parse",
    signed: true,
    urlLifetimeSeconds: 86_400,
  });
  const environment = { ROMA_ENDPOINT: "https://a.example/", ROMA_BUCKET: "b", ROMA_KEY: key };
  const fromEnvironment = parseOptions({}, environment);
  assert.equal(fromEnvironment.baseUrl, "https://a.example/v1/objects/b");
  const given = { endpoint: "https://c.example/x/", bucket: "d", key: { id: "i", secret: "s" } };
  const parsed = parseOptions(given, environment);
  assert.equal(parsed.baseUrl, "https://c.example/x/v1/objects/d");
  assert.deepEqual(parsed.credential, { id: "i", secret: "s" });
});

test("an empty variable counts as none", () => {
  assert.throws(() => parseOptions({}, { ROMA_KEY: "" }), /`key` must be an access key/);
});

test("every problem is told at once, by its name, and no secret among them", () => {
  const wrong = {
    endpoint: "ftp://a",
    key: "secret-without-id",
    bucket: "a/b",
    prefix: "../x",
    baseUrl: "https://a.example/?q=1",
    signed: "yes",
    urlLifetimeSeconds: 59,
    buket: "b",
  };
  assert.throws(
    () => parseOptions(wrong, {}),
    (error: Error) => {
      for (const name of Object.keys(wrong)) assert.match(error.message, new RegExp(`\`${name}\``));
      assert.match(error.message, /^@roma\/parse-files-adapter: /);
      assert.doesNotMatch(error.message, /secret-without-id/);
      return true;
    },
  );
  assert.throws(() => parseOptions("x", {}), /the options must be an object/);
});

for (const [name, value, reason] of [
  ["endpoint", "https://user:pass@a.example", /must not hold a password/],
  ["endpoint", 7, /http or https/],
  ["key", { id: "", secret: "s" }, /ID\.SECRET/],
  ["prefix", "a\0", /at most 200 bytes/],
  ["prefix", "é".repeat(101), /at most 200 bytes/],
  ["urlLifetimeSeconds", 604_801, /60 to 604800/],
  ["urlLifetimeSeconds", 99.5, /whole number/],
] as const) {
  test(`${name} ${JSON.stringify(value).slice(0, 20)} is refused`, () => {
    assert.throws(() => parseOptions({ key, [name]: value }, {}), reason);
  });
}
