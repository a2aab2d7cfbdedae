import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { type Answered, basic, exchangeRaw, startRest } from "./testing.ts";

const md5 = (bytes: Buffer | string) => createHash("md5").update(bytes).digest("base64");
const sha256 = (bytes: Buffer | string) => createHash("sha256").update(bytes).digest("base64");

/** A refusal is a problem document with its code, and tells nothing else. */
function assertProblem(answer: Answered, status: number, code: string): void {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.headers["content-type"], "application/problem+json");
  assert.equal(answer.json.code, code, answer.text);
  assert.equal(answer.json.status, status);
  assert.equal(answer.json.type, `urn:roma:error:${code}`);
  assert.equal(answer.json.requestId, answer.headers["roma-request-id"]);
  assert.ok(String(answer.json.detail).length > 5);
  assert.doesNotMatch(answer.text, /node:|\.ts|at .*\(|\/tmp/);
}

test("an object that was put is read back with everything that was said of it", async (t) => {
  const { call } = await startRest(t);
  await call("PUT", "/v1/buckets/b");
  const bytes = randomBytes(300_000);
  const target = "/v1/objects/b/dir/caf%C3%A9%20%26%20more.bin";
  const put = await call("PUT", target, {
    body: bytes,
    headers: {
      "content-type": "application/x-thing; v=1",
      "roma-meta-author": "Zo%C3%AB",
      "roma-meta-__proto__": "x",
      "content-md5": md5(bytes),
      "want-repr-digest": "sha-256=1, unixsum=1",
    },
  });
  assert.equal(put.status, 201, put.text);
  assert.equal(put.headers.location, target);
  assert.equal(put.headers.etag, put.json.etag);
  assert.match(String(put.headers["repr-digest"]), /^crc64nvme=:[^:]+:, sha-256=:[^:]+:$/);
  assert.equal(put.json.key, "dir/café & more.bin");
  assert.equal(put.json.url, target);
  assert.equal(put.json.size, 300_000);
  // With an MD5 known, the entity tag is that MD5, as clients of S3 expect.
  assert.equal(put.json.etag, `"${createHash("md5").update(bytes).digest("hex")}"`);
  assert.match(put.text, /"metadata":\{"author":"Zoë","__proto__":"x"\}/);

  const got = await call("GET", target, {
    headers: { "want-repr-digest": "sha-256=5, md5=1, sha=0" },
  });
  assert.equal(got.status, 200);
  assert.ok(got.body.equals(bytes));
  const crc = /^(crc64nvme=:[^:]+:)/.exec(String(put.headers["repr-digest"]))?.[1];
  const expected: Readonly<Record<string, string>> = {
    "content-length": "300000",
    "content-type": "application/x-thing; v=1",
    etag: String(put.headers.etag),
    "accept-ranges": "bytes",
    "roma-meta-author": "Zo%C3%AB",
    "roma-version": String(put.json.version),
    "x-content-type-options": "nosniff",
    "cache-control": "private, no-cache",
    "cross-origin-resource-policy": "same-origin",
    "repr-digest": `${crc}, sha-256=:${sha256(bytes)}:, md5=:${md5(bytes)}:`,
  };
  for (const [name, value] of Object.entries(expected))
    assert.equal(got.headers[name], value, name);
  assert.equal(got.headers["content-security-policy"], undefined);

  const head = await call("HEAD", target, { headers: { range: "bytes=0-9" } });
  assert.equal(head.status, 200);
  assert.equal(head.body.length, 0);
  assert.equal(head.headers["content-length"], "300000");
  assert.equal(head.headers.etag, got.headers.etag);

  const again = await call("PUT", target, { body: "two" });
  assert.equal(again.status, 200);
  assert.equal(again.headers.location, undefined);
  assert.notEqual(again.json.version, put.json.version);
  assert.equal((await call("GET", target)).text, "two");
});

test("a body without a length, an empty one and one of a byte are stored as they are", async (t) => {
  const { call } = await startRest(t);
  await call("PUT", "/v1/buckets/b");
  for (const body of ["", "x", "y".repeat(100_000)]) {
    const chunked = await call("PUT", "/v1/objects/b/k", {
      body,
      headers: { "transfer-encoding": "chunked" },
    });
    assert.ok([200, 201].includes(chunked.status), chunked.text);
    assert.equal((await call("GET", "/v1/objects/b/k")).text, body);
  }
  const none = await call("PUT", "/v1/objects/b/none");
  assert.equal(none.json.size, 0);
  assert.equal((await call("GET", "/v1/objects/b/none")).status, 200);
});

test("conditional reads", async (t) => {
  const { call } = await startRest(t);
  await call("PUT", "/v1/buckets/b");
  const put = await call("PUT", "/v1/objects/b/k", { body: "0123456789" });
  const etag = String(put.headers.etag);
  const { headers } = await call("GET", "/v1/objects/b/k");
  const at = String(headers["last-modified"]);
  const before = new Date(Date.parse(at) - 1000).toUTCString();
  const table: readonly (readonly [Record<string, string>, number])[] = [
    [{ "if-none-match": etag }, 304],
    [{ "if-none-match": `W/${etag}` }, 304],
    [{ "if-none-match": "*" }, 304],
    [{ "if-none-match": '"other"' }, 200],
    [{ "if-match": etag }, 200],
    [{ "if-match": '"other"' }, 412],
    [{ "if-match": `W/${etag}` }, 412],
    [{ "if-modified-since": at }, 304],
    [{ "if-modified-since": before }, 200],
    [{ "if-modified-since": "nonsense" }, 200],
    [{ "if-unmodified-since": at }, 200],
    [{ "if-unmodified-since": before }, 412],
    [{ "if-none-match": '"other"', "if-modified-since": at }, 200],
    [{ "if-range": etag, range: "bytes=1-2" }, 206],
    [{ "if-range": '"other"', range: "bytes=1-2" }, 200],
    [{ "if-range": `W/${etag}`, range: "bytes=1-2" }, 200],
    [{ "if-none-match": etag, range: "bytes=1-2" }, 304],
  ];
  for (const [given, status] of table) {
    for (const method of ["GET", "HEAD"]) {
      if (method === "HEAD" && given.range !== undefined) continue;
      const answer = await call(method, "/v1/objects/b/k", { headers: given });
      assert.equal(answer.status, status, `${method} ${JSON.stringify(given)}`);
      if (status !== 304) continue;
      assert.equal(answer.body.length, 0);
      assert.equal(answer.headers.etag, etag);
      assert.equal(answer.headers["cache-control"], "private, no-cache");
    }
  }
  assertProblem(
    await call("GET", "/v1/objects/b/k", { headers: { "if-match": '"other"' } }),
    412,
    "precondition_failed",
  );
});

test("ranges: one, several, and none that is there", async (t) => {
  const { call } = await startRest(t);
  await call("PUT", "/v1/buckets/b");
  const bytes = randomBytes(500_000);
  await call("PUT", "/v1/objects/b/k", { body: bytes, headers: { "content-type": "video/x-y" } });
  await call("PUT", "/v1/objects/b/empty");
  const get = (range: string, key = "k") =>
    call("GET", `/v1/objects/b/${key}`, { headers: { range } });
  const table: readonly (readonly [string, number, number])[] = [
    ["bytes=0-0", 0, 0],
    ["bytes=5-9", 5, 9],
    ["bytes=499999-", 499_999, 499_999],
    ["bytes=-3", 499_997, 499_999],
    ["bytes=-900000", 0, 499_999],
    ["bytes=100-9000000", 100, 499_999],
    ["bytes=200000-300000", 200_000, 300_000],
  ];
  for (const [range, first, last] of table) {
    const answer = await get(range);
    assert.equal(answer.status, 206, range);
    assert.equal(answer.headers["content-range"], `bytes ${first}-${last}/500000`);
    assert.equal(answer.headers["content-length"], String(last - first + 1));
    assert.ok(answer.body.equals(bytes.subarray(first, last + 1)), range);
  }
  for (const ignored of ["bytes=9-5", "lines=0-9", "bytes=a-b", "bytes=", "nonsense"]) {
    assert.equal((await get(ignored)).status, 200, ignored);
  }
  for (const [range, key, size] of [
    ["bytes=500000-", "k", 500_000],
    ["bytes=-0", "k", 500_000],
    ["bytes=0-", "empty", 0],
  ] as const) {
    const answer = await get(range, key);
    assertProblem(answer, 416, "range_unsatisfiable");
    assert.equal(answer.headers["content-range"], `bytes */${size}`);
  }
  const several = await get("bytes=10-19, 400000-400099, -5");
  assert.equal(several.status, 206);
  assert.equal(several.headers["content-length"], String(several.body.length));
  const boundary = /^multipart\/byteranges; boundary=(\w+)$/.exec(
    String(several.headers["content-type"]),
  )?.[1];
  const parts = several.body.toString("latin1").split(`--${boundary}`);
  assert.equal(parts.length, 5);
  assert.equal(parts[4], "--\r\n");
  const pieces = [
    [10, 19],
    [400_000, 400_099],
    [499_995, 499_999],
  ] as const;
  for (const [index, [first, last]] of pieces.entries()) {
    const head = `\r\nContent-Type: video/x-y\r\nContent-Range: bytes ${first}-${last}/500000\r\n\r\n`;
    const expected = bytes.subarray(first, last + 1).toString("latin1");
    assert.equal(parts[index + 1], `${head}${expected}\r\n`);
  }
});

test("stored bytes that were damaged are never sent as if they were whole", async (t) => {
  const { call, content } = await startRest(t);
  await call("PUT", "/v1/buckets/b");
  await call("PUT", "/v1/objects/b/small", { body: "0123456789" });
  await call("PUT", "/v1/objects/b/large", { body: randomBytes(5_000_000) });
  for (const { bytes } of content.blobs.values()) bytes[bytes.length - 1]! ^= 1;
  const small = await call("GET", "/v1/objects/b/small").catch((error: unknown) => error);
  if (!(small instanceof Error)) assertProblem(small as Answered, 500, "data_damaged");
  await assert.rejects(call("GET", "/v1/objects/b/large"), { code: "ECONNRESET" });
  await assert.rejects(
    call("GET", "/v1/objects/b/large", { headers: { range: "bytes=0-9, 4999000-4999999" } }),
    { code: "ECONNRESET" },
  );
});

test("what a browser could run is served in a sandbox, and everything with nosniff", async (t) => {
  const { call } = await startRest(t);
  await call("PUT", "/v1/buckets/b");
  await call("PUT", "/v1/buckets/open", { body: { visibility: "public-read" } });
  const table: readonly (readonly [string, string, boolean])[] = [
    ["page.html", "<!doctype html><script>alert(1)</script>", true],
    ["image.svg", '<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>', true],
    ["feed.xml", '<?xml version="1.0"?><rss/>', true],
    ["script.js", "alert(1)", true],
    ["text.txt", "plain words", false],
    ["doc.pdf", "%PDF-1.7\n1 0 obj\n", false],
  ];
  const declared: Readonly<Record<string, string>> = {
    "script.js": "text/javascript",
    "feed.xml": "application/rss+xml",
  };
  for (const [key, body, sandboxed] of table) {
    const type = declared[key];
    const headers = type === undefined ? {} : { "content-type": type };
    await call("PUT", `/v1/objects/b/${key}`, { body, headers });
    const got = await call("GET", `/v1/objects/b/${key}`);
    assert.equal(got.headers["x-content-type-options"], "nosniff");
    const policy = String(got.headers["content-security-policy"]);
    assert.equal(
      policy.startsWith("sandbox; default-src 'none'"),
      sandboxed,
      `${key} ${got.headers["content-type"]}`,
    );
  }
  await call("PUT", "/v1/objects/open/k", { body: "x" });
  const open = await call("GET", "/v1/objects/open/k", { as: "nobody" });
  assert.equal(open.status, 200);
  assert.equal(open.headers["cache-control"], "public, no-cache");
  assert.equal(open.headers["cross-origin-resource-policy"], "cross-origin");
});

test("?download offers a name that can do no harm", async (t) => {
  const { call } = await startRest(t);
  await call("PUT", "/v1/buckets/b");
  await call("PUT", "/v1/objects/b/dir/na%C3%AFve.txt", { body: "x" });
  const disposition = async (query: string) => {
    const answer = await call("GET", `/v1/objects/b/dir/na%C3%AFve.txt?download${query}`);
    assert.equal(answer.status, 200);
    return String(answer.headers["content-disposition"]);
  };
  assert.equal(await disposition("=plain.txt"), "attachment; filename=plain.txt");
  assert.match(
    await disposition(""),
    /^attachment; filename="?na_ve\.txt"?; filename\*=UTF-8''na%C3%AFve\.txt$/,
  );
  assert.match(await disposition("="), /na%C3%AFve\.txt$/);
  for (const name of [
    "a\r\nSet-Cookie: x",
    'quo"te;.txt',
    "😀‮gpj.exe",
    "x".repeat(5000),
    "../../etc",
  ]) {
    assert.match(
      await disposition(`=${encodeURIComponent(name)}`),
      /^attachment; [\x20-\x7e]{1,1500}$/,
    );
  }
  assertProblem(await call("GET", "/v1/objects/b/k?download=%FF"), 404, "object_not_found");
  assertProblem(
    await call("GET", "/v1/objects/b/dir/na%C3%AFve.txt?download=%FF"),
    400,
    "invalid_request",
  );
});

test("digests: right ones pass, wrong ones store nothing, malformed ones are named", async (t) => {
  const { call, content } = await startRest(t);
  await call("PUT", "/v1/buckets/b");
  const right: readonly Record<string, string>[] = [
    { "content-md5": md5("hello") },
    { "content-digest": `sha-256=:${sha256("hello")}:` },
    { "repr-digest": `sha-256=:${sha256("hello")}:, md5=:${md5("hello")}:` },
    { "content-digest": `unknown=:aGVsbG8=:, md5=:${md5("hello")}:` },
  ];
  for (const headers of right) {
    const answer = await call("PUT", "/v1/objects/b/right", { body: "hello", headers });
    assert.ok(answer.status < 300, JSON.stringify(headers));
  }
  const first = await call("PUT", "/v1/objects/b/k", { body: "hello" });
  const crc = String(first.headers["repr-digest"]);
  assert.equal(
    (await call("PUT", "/v1/objects/b/k", { body: "hello", headers: { "repr-digest": crc } }))
      .status,
    200,
  );
  const blobs = content.blobs.size;
  const wrong: readonly Record<string, string>[] = [
    { "content-md5": md5("other") },
    { "content-digest": `sha-256=:${sha256("other")}:` },
    { "repr-digest": `md5=:${md5("hello")}:, sha-256=:${sha256("other")}:` },
    { "repr-digest": "crc64nvme=:AAAAAAAAAAA=:" },
  ];
  for (const headers of wrong) {
    const answer = await call("PUT", "/v1/objects/b/new", { body: "hello", headers });
    assertProblem(answer, 400, "checksum_mismatch");
  }
  const malformed: readonly Record<string, string>[] = [
    { "content-md5": "hello" },
    { "content-md5": "aGVsbG8=" },
    { "content-digest": "sha-256=aGVsbG8=" },
    { "content-digest": "sha-256=:aGVsbG8=:" },
    { "repr-digest": "sha-256" },
    { "want-repr-digest": "sha-256=:x:" },
    { "content-md5": md5("hello"), "content-digest": `md5=:${md5("other")}:` },
  ];
  for (const headers of malformed) {
    assertProblem(
      await call("PUT", "/v1/objects/b/new", { body: "hello", headers }),
      400,
      "invalid_request",
    );
  }
  assert.equal((await call("GET", "/v1/objects/b/new")).status, 404);
  assert.equal(content.blobs.size, blobs, "no blob is left of a refused upload");
});

test("keys: any Unicode text is kept as it is, and each rule is enforced", async (t) => {
  const { call, port, key: root } = await startRest(t);
  await call("PUT", "/v1/buckets/b");
  const keys = [
    "plain",
    "a//b",
    "/lead",
    "trail/",
    "sp ace",
    "plus+",
    "50%",
    "q?m",
    "ha#sh",
    "é",
    "e\u0301",
    "😀/🚀",
    "\u202egnp",
    "a\r\nb",
    'quo"te',
    "a;b,c",
    "__proto__",
    "...",
    "..a",
    "x".repeat(1024),
    "é".repeat(512),
    "&<>'",
  ];
  for (const key of keys) {
    const target = `/v1/objects/b/${key.split("/").map(encodeURIComponent).join("/")}`;
    const put = await call("PUT", target, { body: key });
    assert.equal(put.status, 201, `${JSON.stringify(key)} ${put.text}`);
    assert.equal(put.json.key, key);
    const got = await call("GET", String(put.json.url));
    assert.equal(got.text, key);
  }
  const listed = (await call("GET", "/v1/objects/b")).json.objects as { key: string }[];
  const byBytes = keys.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  assert.deepEqual(
    listed.map(({ key }) => key),
    byBytes,
  );

  const refused = [
    "",
    "a/../b",
    "..",
    ".",
    "a/.",
    "%2e%2e/x",
    "a%00b",
    "%ff",
    "%ED%A0%80",
    "x".repeat(1025),
    "%C3%A9".repeat(513),
    "%zz",
    "%",
    "a%2",
  ];
  for (const raw of refused) {
    const answer = await call("PUT", `/v1/objects/b/${raw}`, { body: "x" });
    assert.equal(answer.status, 400, raw);
    assert.match(String(answer.json.code), /^invalid_(key|request)$/, raw);
  }
  // Encoded separators are the same key as plain ones: decoded once, then one normaliser.
  assert.equal((await call("GET", "/v1/objects/b/a%2F%2Fb")).text, "a//b");
  const absolute = await exchangeRaw(
    port,
    `GET http://x/v1/objects/b/plain HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: ${basic(root)}\r\n\r\n`,
  );
  assert.match(absolute, /^HTTP\/1\.1 200 /);
});

test("conditional writes; of twenty racing If-None-Match puts one wins", async (t) => {
  const { call } = await startRest(t);
  await call("PUT", "/v1/buckets/b");
  let count = 0;
  const put = (headers: Record<string, string>, key = "k") =>
    call("PUT", `/v1/objects/b/${key}`, { body: String(++count), headers });
  assertProblem(await put({ "if-match": "*" }), 412, "precondition_failed");
  const first = await put({ "if-none-match": "*" });
  assert.equal(first.status, 201);
  assertProblem(await put({ "if-none-match": "*" }), 412, "precondition_failed");
  assertProblem(await put({ "if-match": '"other"' }), 412, "precondition_failed");
  const etag = String(first.headers.etag);
  assert.equal((await put({ "if-match": `"other", ${etag}` })).status, 200);
  assertProblem(await put({ "if-match": etag }), 412, "precondition_failed");
  assertProblem(await put({ "if-none-match": etag }), 400, "invalid_request");
  assertProblem(await put({ "if-unmodified-since": new Date().toUTCString() }), 501, "unsupported");

  const racers = await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      call("PUT", "/v1/objects/b/race", {
        body: `racer ${index}`,
        headers: { "if-none-match": "*" },
      }),
    ),
  );
  const won = racers.flatMap(({ status }, index) => (status === 201 ? [index] : []));
  assert.equal(won.length, 1);
  assert.deepEqual(racers.filter(({ status }) => status === 412).length, 19);
  assert.equal((await call("GET", "/v1/objects/b/race")).text, `racer ${won[0]}`);

  assertProblem(
    await call("DELETE", "/v1/objects/b/k", { headers: { "if-match": '"no"' } }),
    412,
    "precondition_failed",
  );
  assert.equal(
    (await call("DELETE", "/v1/objects/b/k", { headers: { "if-match": "*" } })).status,
    204,
  );
  assert.equal((await call("DELETE", "/v1/objects/b/k")).status, 204);
  assertProblem(await call("GET", "/v1/objects/b/k"), 404, "object_not_found");
});

test("lists: pages, prefixes, delimiters, and cursors that cannot be bent", async (t) => {
  const { call } = await startRest(t);
  await call("PUT", "/v1/buckets/b");
  const keys = ["a", "a/1", "a/2", "b/x/1", "b/x/2", "b/y", "c", "é"];
  for (const key of keys)
    await call("PUT", `/v1/objects/b/${encodeURIComponent(key)}`, { body: key });
  const list = async (query: string) => {
    const answer = await call("GET", `/v1/objects/b${query}`);
    assert.equal(answer.status, 200, answer.text);
    const { objects, prefixes, cursor } = answer.json as {
      objects: { key: string }[];
      prefixes: string[];
      cursor: string | null;
    };
    return { keys: objects.map(({ key }) => key), prefixes, cursor };
  };
  assert.deepEqual(await list(""), { keys, prefixes: [], cursor: null });
  assert.deepEqual((await list("?prefix=a/")).keys, ["a/1", "a/2"]);
  assert.deepEqual(await list("?delimiter=/"), {
    keys: ["a", "c", "é"],
    prefixes: ["a/", "b/"],
    cursor: null,
  });
  assert.deepEqual(await list("?prefix=b%2F&delimiter=%2F"), {
    keys: ["b/y"],
    prefixes: ["b/x/"],
    cursor: null,
  });
  for (const query of ["?limit=1", "?limit=3", "?limit=2&delimiter=/"]) {
    const seen: string[] = [];
    let cursor: string | null = "";
    let pages = 0;
    while (cursor !== null) {
      const page = await list(cursor === "" ? query : `${query}&cursor=${cursor}`);
      seen.push(...[...page.keys, ...page.prefixes].sort());
      cursor = page.cursor;
      pages++;
      assert.ok(pages < 20);
    }
    const expected = query.includes("delimiter") ? ["a", "a/", "b/", "c", "é"] : keys;
    assert.deepEqual(seen, expected, query);
  }
  const { cursor } = await list("?limit=1");
  const bent = Buffer.from(String(cursor), "base64url");
  bent[bent.length - 1]! ^= 1;
  const bad = [
    "limit=0",
    "limit=1001",
    "limit=x",
    "limit=",
    "limit=1&limit=2",
    "cursor=x",
    "cursor=",
    `cursor=${bent.toString("base64url")}`,
    `cursor=${cursor}&prefix=a`,
    "prefix=%ff",
    `delimiter=${"x".repeat(65)}`,
  ];
  for (const query of bad) {
    const answer = await call("GET", `/v1/objects/b?${query}`);
    assertProblem(answer, 400, "invalid_request");
    assert.match(String(answer.json.detail), /limit|cursor|prefix|delimiter/);
  }
  assertProblem(await call("GET", "/v1/objects/none"), 404, "bucket_not_found");
  assert.equal((await call("GET", "/v1/objects/b?unknown=1&limit=1")).status, 200);
});

test("a batch delete judges each key by itself", async (t) => {
  const { call } = await startRest(t);
  await call("PUT", "/v1/buckets/b");
  for (const key of ["x", "y", "__proto__"])
    await call("PUT", `/v1/objects/b/${key}`, { body: key });
  const answer = await call("POST", "/v1/objects/b?delete", {
    body: { keys: ["x", "missing", "a/../b", "__proto__", "\ud800"] },
  });
  assert.equal(answer.status, 200);
  assert.deepEqual(answer.json.deleted, ["x", "missing", "__proto__"]);
  const failed = answer.json.failed as { key: string; code: string }[];
  assert.deepEqual(
    failed.map(({ code }) => code),
    ["invalid_key", "invalid_key"],
  );
  assert.equal((await call("GET", "/v1/objects/b/y")).status, 200);
  const many = Array.from({ length: 1001 }, (_, index) => String(index));
  assertProblem(
    await call("POST", "/v1/objects/b?delete", { body: { keys: many } }),
    413,
    "too_large",
  );
  for (const body of [{}, { keys: "x" }, { keys: [1] }, { keys: [], more: 1 }, "[]", "{", "\xff"]) {
    assertProblem(await call("POST", "/v1/objects/b?delete", { body }), 400, "invalid_request");
  }
  const huge = JSON.stringify({ keys: ["x".repeat(3_000_000)] });
  assertProblem(await call("POST", "/v1/objects/b?delete", { body: huge }), 413, "too_large");
});

test("copy and move: pointers, conditions, and what changes on the way", async (t) => {
  const { call, content } = await startRest(t);
  await call("PUT", "/v1/buckets/b");
  await call("PUT", "/v1/buckets/small", { body: { maxObjectBytes: 3 } });
  const source = await call("PUT", "/v1/objects/b/from", {
    body: "bytes",
    headers: { "content-type": "text/x-one", "roma-meta-a": "1" },
  });
  const copy = (to: object, more: object = {}) =>
    call("POST", "/v1/copy", { body: { from: { bucket: "b", key: "from" }, to, ...more } });
  const copied = await copy({ bucket: "b", key: "to" });
  assert.equal(copied.status, 201, copied.text);
  assert.deepEqual(copied.json.metadata, { a: "1" });
  assert.equal(copied.headers.location, "/v1/objects/b/to");
  assert.equal(content.blobs.size, 1);
  assert.equal((await copy({ bucket: "b", key: "to" })).status, 200);
  assertProblem(
    await copy({ bucket: "b", key: "to" }, { createOnly: true }),
    412,
    "precondition_failed",
  );
  const changed = await copy(
    { bucket: "b", key: "to" },
    { contentType: "text/x-two", metadata: { B: "é" } },
  );
  assert.equal(changed.json.contentType, "text/x-two");
  assert.deepEqual(changed.json.metadata, { b: "é" });
  assertProblem(await copy({ bucket: "none", key: "to" }), 404, "bucket_not_found");
  assertProblem(await copy({ bucket: "small", key: "to" }), 413, "too_large");
  assertProblem(await copy({ bucket: "b", key: "../x" }), 400, "invalid_key");
  assertProblem(
    await copy({ bucket: "b", key: "x" }, { contentType: "not a type" }),
    400,
    "invalid_request",
  );
  assertProblem(await copy({ bucket: "b", key: "x" }, { extra: 1 }), 400, "invalid_request");
  const stale = {
    from: { bucket: "b", key: "from", version: "0".repeat(32) },
    to: { bucket: "b", key: "x" },
  };
  assertProblem(await call("POST", "/v1/copy", { body: stale }), 412, "precondition_failed");
  const moved = await call("POST", "/v1/move", {
    body: {
      from: { bucket: "b", key: "from", version: source.json.version },
      to: { bucket: "b", key: "moved" },
    },
  });
  assert.equal(moved.status, 201, moved.text);
  assert.equal((await call("GET", "/v1/objects/b/moved")).text, "bytes");
  assertProblem(await call("GET", "/v1/objects/b/from"), 404, "object_not_found");
  assertProblem(
    await call("POST", "/v1/move", {
      body: { from: { bucket: "b", key: "from" }, to: { bucket: "b", key: "x" } },
    }),
    404,
    "object_not_found",
  );
});

test("a copy that names no version is of what is there at its moment, however often that is replaced", async (t) => {
  const { call } = await startRest(t);
  await call("PUT", "/v1/buckets/b");
  await call("PUT", "/v1/objects/b/from", { body: "0" });
  const replacing = (async () => {
    for (let round = 1; round <= 300; round += 1) {
      const put = await call("PUT", "/v1/objects/b/from", { body: `${round}` });
      assert.equal(put.status, 200, put.text);
    }
  })();
  const copying = async (to: string) => {
    for (let round = 0; round < 100; round += 1) {
      const body = { from: { bucket: "b", key: "from" }, to: { bucket: "b", key: to } };
      const copied = await call("POST", "/v1/copy", { body });
      assert.ok(copied.status < 300, copied.text);
    }
  };
  await Promise.all([replacing, copying("one"), copying("two")]);
});
