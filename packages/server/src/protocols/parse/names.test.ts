/** What files may be called, and which types names and headers give them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { key, master, startParse } from "./testing.ts";

const goodNames = [
  "a",
  "_x.txt",
  "0 a@b~c-d.e.txt",
  "metadata",
  "File",
  "constructor",
  "__proto__",
  "报告（终稿）2026.txt",
  "Ελληνικά é ü ß.txt",
  "スクリーンショット　一.txt",
  "Bildschirmfoto 2026-01-01 um 9.41\u202fAM.txt",
  "👩‍👩‍👧.txt",
  "تقرير.txt",
  `${"n".repeat(124)}.txt`,
];

const badNames = [
  "a/b.txt",
  ".htaccess",
  "-rf",
  " a",
  "a$b",
  "a*b",
  "a(1).txt",
  "a\\b",
  "a\nb",
  "a\0b",
  "a\u202etxt.exe",
  "a\u200bb",
  "..",
  `${"n".repeat(125)}.txt`,
];

test("names of every script are kept and read back, those that Parse refuses are refused", async (t) => {
  const { call } = await startParse(t);
  for (const name of goodNames) {
    const target = `/parse/files/${encodeURIComponent(name)}`;
    const saved = await call("POST", target, { headers: master, body: `of ${name}` });
    assert.equal(saved.status, 201, `${name}: ${saved.text}`);
    assert.equal(saved.json.name.slice(33), name);
    const read = await call("GET", saved.json.url);
    assert.equal(read.text, `of ${name}`);
  }
  for (const name of badNames) {
    const target = `/parse/files/${encodeURIComponent(name)}`;
    const refused = await call("POST", target, { headers: master, body: "x" });
    assert.deepEqual([refused.status, refused.json.code], [400, 122], JSON.stringify(name));
  }
  assert.equal(
    (await call("POST", "/parse/files/%zz", { headers: master, body: "x" })).status,
    400,
  );
});

test("directories come with the master key, and are part of the name", async (t) => {
  const { call } = await startParse(t, {
    parse: {
      applications: [
        {
          appId: "app",
          masterKey: "secret",
          accessKeyId: key.id,
          fileUpload: { enableForPublic: true },
        },
      ],
    },
  });
  const post = (
    directory: string,
    headers: Record<string, string> = { "x-parse-master-key": "secret" },
  ) =>
    call("POST", "/parse/files/a.txt", {
      headers: {
        "x-parse-application-id": "app",
        "x-parse-file-directory": directory,
        ...headers,
      },
      body: "x",
    });
  const saved = await post(encodeURIComponent("in/hier/文"));
  assert.match(saved.json.name, /^in\/hier\/文\/[0-9a-f]{32}_a\.txt$/);
  assert.equal((await call("GET", saved.json.url)).text, "x");
  const gone = await call("DELETE", `/parse/files/${encodeURI(saved.json.name)}`, {
    headers: { "x-parse-application-id": "app", "x-parse-master-key": "secret" },
  });
  assert.equal(gone.status, 200);
  for (const bad of [
    "/a",
    "a/",
    "a//b",
    "a/../b",
    "..",
    "metadata",
    "metadata/x",
    "a/.b",
    "d".repeat(257),
  ]) {
    const refused = await post(bad);
    assert.deepEqual([refused.status, refused.json.code], [400, 122], bad);
  }
  const byPublic = await post("in", {});
  assert.deepEqual([byPublic.status, byPublic.json.code], [403, 119]);
});

const types: readonly (readonly [
  name: string,
  declared: string | undefined,
  body: string,
  stored: string,
  type: string,
])[] = [
  ["a.txt", undefined, "x", "a.txt", "text/plain"],
  ["a.txt", "text/csv", "x", "a.txt", "text/plain"],
  ["a.txt", "text/plain; charset=utf-8", "x", "a.txt", "text/plain; charset=utf-8"],
  ["a.unknown", "text/csv", "x", "a.unknown", "text/csv"],
  ["a", "text/csv", "x", "a.csv", "text/csv"],
  ["a", "application/x-own", "x", "a", "application/x-own"],
  ["a", undefined, "x", "a", "text/plain; charset=utf-8"],
  ["a", "application/x-www-form-urlencoded", "x", "a", "text/plain; charset=utf-8"],
  ["a.json", "application/octet-stream", "{}", "a.json", "application/json"],
];

test("a known extension says the type, a known type gives an extension; the bytes have the last word", async (t) => {
  const { call } = await startParse(t);
  for (const [name, declared, body, stored, type] of types) {
    const headers = { ...master, ...(declared === undefined ? {} : { "content-type": declared }) };
    const saved = await call("POST", `/parse/files/${name}`, { headers, body });
    assert.equal(saved.json.name.slice(33), stored);
    const read = await call("GET", saved.json.url);
    assert.equal(read.headers["content-type"], type, `${name} ${declared}`);
  }
  const bad = await call("POST", "/parse/files/a", {
    headers: { ...master, "content-type": "nonsense" },
    body: "x",
  });
  assert.deepEqual([bad.status, bad.json.code], [400, 130]);
  const html = await call("POST", "/parse/files/a.png", { headers: master, body: "<html>x" });
  const read = await call("GET", html.json.url);
  assert.match(String(read.headers["content-security-policy"]), /^sandbox/);
  assert.equal(read.headers["x-content-type-options"], "nosniff");
});

test("extensions of what browsers run are refused, by name and by type, unless the application says otherwise", async (t) => {
  const { call } = await startParse(t);
  const refused: readonly (readonly [name: string, type: string | undefined])[] = [
    ...["html", "HTM", "xhtml", "shtml", "svg", "SVG", "xml", "xsl", "rdf", "mathml", "svgz"].map(
      (extension) => [`a.${extension}`, undefined] as const,
    ),
    ["a.html ", undefined],
    ["a", "text/html"],
    ["a.unknown", "text/html"],
    ["a.unknown", "image/svg+xml"],
  ];
  for (const [name, type] of refused) {
    const answer = await call("POST", `/parse/files/${encodeURIComponent(name)}`, {
      headers: { ...master, ...(type === undefined ? {} : { "content-type": type }) },
      body: "x",
    });
    assert.deepEqual([answer.status, answer.json.code], [400, 130], `${name} ${type}`);
    assert.match(answer.json.error, /^File upload of extension \S+ is disabled\.$/);
  }
  const other = await startParse(t, {
    parse: {
      applications: [
        {
          appId: "app",
          masterKey: "secret",
          accessKeyId: key.id,
          fileUpload: { fileExtensions: ["^(png|svg)$"] },
        },
      ],
    },
  });
  const headers = { "x-parse-application-id": "app", "x-parse-master-key": "secret" };
  const post = async (name: string) =>
    (await other.call("POST", `/parse/files/${name}`, { headers, body: "x" })).status;
  assert.deepEqual(
    [await post("a.png"), await post("a.SVG"), await post("a.txt"), await post("a")],
    [201, 201, 400, 400],
  );
});
