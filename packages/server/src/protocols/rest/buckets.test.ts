import assert from "node:assert/strict";
import { test } from "node:test";
import { startRest } from "./testing.ts";

test("a bucket is created, shown, listed, changed, and deleted when it is empty", async (t) => {
  const { call } = await startRest(t);
  const made = await call("PUT", "/v1/buckets/photos", {
    body: {
      visibility: "public-read",
      maxObjectBytes: "20 MiB",
      contentTypes: ["image/*"],
      uploadExpiry: "10 s",
    },
  });
  assert.equal(made.status, 201, made.text);
  assert.equal(made.headers.location, "/v1/buckets/photos");
  const { createdAt, ...rest } = made.json;
  assert.ok(!Number.isNaN(Date.parse(String(createdAt))));
  const expected = {
    name: "photos",
    visibility: "public-read",
    maxObjectBytes: 20 * 1024 * 1024,
    contentTypes: ["image/*"],
    uploadExpiry: "10 s",
    quotaBytes: null,
    placement: "memory",
    trash: "7 days",
    environment: null,
    deletesPerHour: null,
    retention: null,
    bulkDeleteApprovals: 1,
  };
  assert.deepEqual(rest, expected);
  const twice = await call("PUT", "/v1/buckets/photos");
  assert.equal(twice.status, 409);
  assert.equal(twice.json.code, "already_exists");
  assert.deepEqual((await call("GET", "/v1/buckets/photos")).json, made.json);
  const defaults = await call("PUT", "/v1/buckets/__proto__", { body: "" });
  assert.equal(defaults.status, 201);
  assert.equal(defaults.json.uploadExpiry, "24 h");
  const listed = await call("GET", "/v1/buckets");
  assert.deepEqual(
    (listed.json.buckets as { name: string }[]).map(({ name }) => name),
    ["__proto__", "photos"],
  );
  const changed = await call("PATCH", "/v1/buckets/photos", {
    body: { contentTypes: null, maxObjectBytes: 5 },
  });
  assert.deepEqual(changed.json, { ...made.json, contentTypes: null, maxObjectBytes: 5 });
  await call("PUT", "/v1/objects/photos/k", { body: "x" });
  assert.equal((await call("DELETE", "/v1/buckets/photos")).json.code, "not_empty");
  await call("DELETE", "/v1/objects/photos/k");
  assert.equal((await call("DELETE", "/v1/buckets/photos")).status, 204);
  assert.equal((await call("GET", "/v1/buckets/photos")).json.code, "bucket_not_found");
  assert.equal((await call("DELETE", "/v1/buckets/photos")).status, 404);
});

test("a bucket's settings hold for what is put", async (t) => {
  const { call } = await startRest(t);
  await call("PUT", "/v1/buckets/b", {
    body: { maxObjectBytes: "4 bytes", contentTypes: ["text/plain"] },
  });
  assert.equal((await call("PUT", "/v1/objects/b/k", { body: "1234" })).status, 201);
  const large = await call("PUT", "/v1/objects/b/k", { body: "12345" });
  assert.equal(large.status, 413);
  assert.match(String(large.json.detail), /maxObjectBytes/);
  assert.equal(large.json.maxBytes, 4);
  const typed = await call("PUT", "/v1/objects/b/k", {
    body: "%PDF",
    headers: { "content-type": "application/json" },
  });
  assert.equal(typed.status, 415);
});

test("settings that cannot be are refused by name, and nothing is made or changed", async (t) => {
  const { call } = await startRest(t);
  const table: readonly (readonly [string | object, number, string])[] = [
    [{ visibility: "secret" }, 400, "visibility"],
    [{ maxObjectBytes: -1 }, 400, "maxObjectBytes"],
    [{ maxObjectBytes: "many" }, 400, "maxObjectBytes"],
    [{ maxObjectBytes: 1e300 }, 400, "maxObjectBytes"],
    [{ maxObjectBytes: "6 TiB" }, 400, "maxObjectBytes"],
    [{ contentTypes: "image/*" }, 400, "contentTypes"],
    [{ contentTypes: ["image"] }, 400, "contentTypes"],
    [{ uploadExpiry: "1 ms" }, 400, "uploadExpiry"],
    [{ uploadExpiry: "100 days" }, 400, "uploadExpiry"],
    [{ uploadExpiry: 5 }, 400, "uploadExpiry"],
    [{ uploadExpiry: "5" }, 400, "uploadExpiry"],
    [{ quotaBytes: -1 }, 400, "quotaBytes"],
    [{ placement: "nowhere" }, 404, "storage"],
    [{ placement: [{ storage: "memory", minByte: 1 }] }, 400, "minByte"],
    [{ visiblity: "private" }, 400, "visiblity"],
    ['{"__proto__":{"visibility":"public-read"}}', 400, "__proto__"],
    ['{"constructor":1}', 400, "constructor"],
    ["[]", 400, "body"],
    ["null", 400, "body"],
    ["{", 400, "JSON"],
    ["[".repeat(60_000), 400, "JSON"],
    [`{"visibility":"${"x".repeat(70_000)}"}`, 413, "64 KiB"],
  ];
  for (const [body, status, named] of table) {
    const note = JSON.stringify(body).slice(0, 60);
    const answer = await call("PUT", "/v1/buckets/b", { body });
    assert.equal(answer.status, status, `${note} ${answer.text}`);
    assert.ok(String(answer.json.detail).includes(named), `${note} ${answer.text}`);
  }
  for (const name of ["..", "-x", ".x", "a%20b", "a%2Fb", "x".repeat(64), "%00", "%ff"]) {
    assert.equal((await call("PUT", `/v1/buckets/${name}`)).status, 400, name);
  }
  assert.deepEqual((await call("GET", "/v1/buckets")).json.buckets, []);
  const page = await call("PUT", "/v1/buckets/b", {
    body: "{}",
    headers: { origin: "https://elsewhere.example", "content-type": "text/plain" },
  });
  assert.equal(page.status, 400);
});

test("what guards a bucket against mistakes is set, shown, changed and taken off", async (t) => {
  const { call } = await startRest(t);
  const settings = {
    trash: "30 days",
    environment: "production",
    deletesPerHour: 50,
    retention: "12 h",
    bulkDeleteApprovals: 2,
  };
  const made = await call("PUT", "/v1/buckets/b", { body: settings });
  assert.equal(made.status, 201, made.text);
  const shown = (await call("GET", "/v1/buckets/b")).json;
  for (const [name, value] of Object.entries(settings)) assert.equal(shown[name], value, name);
  const off = { trash: null, environment: null, deletesPerHour: null, retention: null };
  const changed = await call("PATCH", "/v1/buckets/b", { body: off });
  assert.deepEqual(changed.json, { ...shown, ...off });
});

test("a setting that guards nothing sensible is refused with its name", async (t) => {
  const { call } = await startRest(t);
  for (const [name, value] of [
    ["trash", "0 s"],
    ["trash", "4000 days"],
    ["trash", "7"],
    ["trash", 7],
    ["environment", "Production"],
    ["environment", ""],
    ["environment", "x".repeat(33)],
    ["deletesPerHour", -1],
    ["deletesPerHour", 0.5],
    ["deletesPerHour", 1e12],
    ["retention", "999 ms"],
    ["retention", "40000 days"],
    ["bulkDeleteApprovals", 3],
    ["bulkDeleteApprovals", null],
  ] as const) {
    const refused = await call("PUT", "/v1/buckets/b", { body: { [name]: value } });
    assert.equal(refused.status, 400, `${name} ${value}: ${refused.text}`);
    assert.match(String(refused.json.detail), new RegExp(name), `${name} ${value}`);
  }
  assert.equal((await call("GET", "/v1/buckets/b")).status, 404);
});
