import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { describe, test } from "node:test";
import { readUntil } from "./resumable-testing.ts";
import { basic, formOf, type RestServer, startRest } from "./testing.ts";

const file = (name: string, content: string | Buffer, type = "") =>
  new File([typeof content === "string" ? content : new Uint8Array(content)], name, { type });

async function post(
  server: RestServer,
  entries: Parameters<typeof formOf>[0],
  target = "/v1/objects/b",
) {
  const answer = await server.call("POST", target, await formOf(entries));
  const objects = (answer.json.objects ?? []) as readonly Record<string, unknown>[];
  return { ...answer, objects, keys: objects.map(({ key }) => key) };
}

async function keysIn({ call }: RestServer): Promise<readonly string[]> {
  const { json } = await call("GET", "/v1/objects/b");
  return (json.objects as { key: string }[]).map(({ key }) => key);
}

test("a form with files and fields in any order stores each file as its fields say", async (t) => {
  const server = await startRest(t);
  await server.call("PUT", "/v1/buckets/b");
  const big = randomBytes(400_000);
  const hash = createHash("sha256").update(big);
  const answer = await post(server, [
    ["submit", "Send"],
    ["prefix", "in/"],
    ["one", file("a.txt", "first")],
    ["key", "named/b.bin"],
    ["Content-Type", "application/x-b"],
    ["Roma-Meta-Author", "Zoë"],
    ["sha-256", hash.copy().digest("hex")],
    ["two", file("ignored.bin", big, "application/x-ignored")],
    ["md5", createHash("md5").update("third").digest("base64")],
    ["three", file("C:\\dir\\c.txt", "third", "text/x-c")],
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the placeholder of S3 forms.
    ["key", "t/${filename}"],
    ["four", file("d.txt", "4")],
    ["five", file("e/f.txt", "")],
  ]);
  assert.equal(answer.status, 201, answer.text);
  assert.deepEqual(answer.keys, ["in/a.txt", "named/b.bin", "in/c.txt", "t/d.txt", "t/f.txt"]);
  const [first, second, third] = answer.objects;
  assert.deepEqual(first?.metadata, {});
  assert.equal(second?.contentType, "application/x-b");
  assert.deepEqual(second?.metadata, { author: "Zoë" });
  assert.equal(Object(second?.checksums).sha256, hash.digest("hex"));
  assert.equal(third?.contentType, "text/x-c");
  assert.ok((await server.call("GET", "/v1/objects/b/named/b.bin")).body.equals(big));
});

describe("names of files", () => {
  const names: readonly (readonly [string, string])[] = [
    ["plain.txt", "plain.txt"],
    ["../../etc/passwd", "passwd"],
    ["..\\..\\boot.ini", "boot.ini"],
    ["/etc/passwd", "passwd"],
    ['quo"te;.txt', 'quo"te;.txt'],
    ["line\r\nbreak", "line\r\nbreak"],
    ["émoji😀.png", "émoji😀.png"],
    ["\u202egnp.exe", "\u202egnp.exe"],
    ["__proto__", "__proto__"],
    ["100%41.txt", "100%41.txt"],
  ];
  test("a safe key is made of each, or the form is refused with a reason", async (t) => {
    const server = await startRest(t);
    await server.call("PUT", "/v1/buckets/b");
    for (const [name, key] of names) {
      const answer = await post(server, [["f", file(name, "x")]]);
      assert.equal(answer.status, 201, `${JSON.stringify(name)}: ${answer.text}`);
      assert.deepEqual(answer.keys, [key]);
      assert.equal((await server.call("GET", String(answer.objects[0]?.url))).text, "x");
    }
    const refused: readonly (readonly [string, string])[] = [
      ["x".repeat(5000), "invalid_key"],
      ["😀".repeat(5000), "invalid_key"],
      ["..", "invalid_key"],
      ["nul\0.txt", "invalid_request"],
      ["dir/", "invalid_request"],
    ];
    for (const [name, code] of refused) {
      const answer = await post(server, [["f", file(name, "x")]]);
      assert.equal(answer.status, 400, `${name.slice(0, 20)}: ${answer.text}`);
      assert.equal(answer.json.code, code);
      assert.deepEqual(answer.json.stored, []);
    }
    assert.equal((await keysIn(server)).length, new Set(names.map(([, key]) => key)).size);
  });
});

test("when a file is refused, those before it stay and are named, and it leaves nothing", async (t) => {
  const server = await startRest(t);
  await server.call("PUT", "/v1/buckets/b", { body: { maxObjectBytes: 1000 } });
  const good = ["f", file("good.txt", "good")] as const;
  const table: readonly (readonly [Parameters<typeof formOf>[0], number, string])[] = [
    [[good, ["f", file("large.bin", randomBytes(1001))]], 413, "too_large"],
    [[good, ["md5", "AAAAAAAAAAAAAAAAAAAAAA=="], ["f", file("x", "x")]], 400, "checksum_mismatch"],
    [[good, ["md5", "nonsense"], ["f", file("x", "x")]], 400, "invalid_request"],
    [[good, ["f", file("good.txt", "again")]], 400, "invalid_request"],
    [[good, ["key", "unused"]], 400, "invalid_request"],
    [[good, ["Content-Type", "nonsense"], ["f", file("x", "x")]], 400, "invalid_request"],
    [[good, ["note", "n".repeat(70_000)]], 413, "too_large"],
    [[good, ...Array.from({ length: 1001 }, () => ["n", "v"] as const)], 413, "too_large"],
  ];
  for (const [entries, status, code] of table) {
    const answer = await post(server, entries);
    assert.equal(answer.status, status, answer.text);
    assert.equal(answer.json.code, code);
    assert.deepEqual(answer.json.stored, ["good.txt"]);
    assert.deepEqual(await keysIn(server), ["good.txt"]);
  }
  const none = await post(server, [["note", "no file"]]);
  assert.equal(none.status, 400);
  const empty = await post(server, [["f", file("", "")]]);
  assert.equal(empty.status, 400);
  assert.match(String(empty.json.detail), /no file/);
  const elsewhere = await post(server, [good], "/v1/objects/none");
  assert.equal(elsewhere.json.code, "bucket_not_found");
});

test("a truncated form, one without boundary, and another type are refused", async (t) => {
  const server = await startRest(t);
  await server.call("PUT", "/v1/buckets/b");
  const form = await formOf([
    ["f", file("a", "a".repeat(1000))],
    ["f", file("b", "b".repeat(1000))],
  ]);
  const cut = await server.call("POST", "/v1/objects/b", {
    ...form,
    body: form.body.subarray(0, 2000),
  });
  assert.equal(cut.status, 400);
  assert.equal(cut.json.code, "incomplete_body");
  assert.deepEqual(cut.json.stored, ["a"]);
  assert.deepEqual(await keysIn(server), ["a"]);
  for (const type of [
    "multipart/form-data",
    "multipart/form-data; boundary=",
    "text/plain",
    "nonsense",
  ]) {
    const answer = await server.call("POST", "/v1/objects/b", {
      body: form.body,
      headers: { "content-type": type },
    });
    assert.equal(answer.status, 400, type);
    assert.equal(answer.json.code, "invalid_request");
  }
  assert.equal((await server.call("POST", "/v1/objects/b", { body: form.body })).status, 400);
});

test("a client that leaves within a file leaves the files before it and nothing of this one", async (t) => {
  const server = await startRest(t);
  await server.call("PUT", "/v1/buckets/b");
  const form = await formOf([
    ["f", file("whole", "w".repeat(1000))],
    ["f", file("half", "h".repeat(200_000))],
  ]);
  const socket = connect({ port: server.port, host: "127.0.0.1" });
  socket.write(
    `POST /v1/objects/b HTTP/1.1\r\nHost: x\r\nAuthorization: ${basic(server.key)}\r\n` +
      `Content-Type: ${form.headers["content-type"]}\r\nContent-Length: ${form.body.length}\r\n\r\n`,
  );
  socket.write(form.body.subarray(0, 100_000));
  const running = async () => {
    const { json } = await server.call("GET", "/v1/uploads");
    return (json.uploads as { key: string }[]).map(({ key }) => key);
  };
  while (!(await running()).includes("half"));
  socket.destroy();
  await once(socket, "close");
  while ((await running()).length > 0);
  assert.deepEqual(await keysIn(server), ["whole"]);
  assert.equal(server.content.blobs.size, 1);
});

test("a file that comes slowly is not collected: it can be seen to grow, and be cancelled", async (t) => {
  const server = await startRest(t, { http: { bodyIdleMsMax: "1 h", bodyBytesPerSecondMin: 0 } });
  await server.call("PUT", "/v1/buckets/b");
  const socket = connect({ port: server.port, host: "127.0.0.1" });
  const head = '--B\r\nContent-Disposition: form-data; name="f"; filename="slow"\r\n\r\n';
  socket.write(
    `POST /v1/objects/b HTTP/1.1\r\nHost: x\r\nAuthorization: ${basic(server.key)}\r\n` +
      `Content-Type: multipart/form-data; boundary=B\r\nContent-Length: 1000000\r\n\r\n${head}`,
  );
  socket.write("x".repeat(50_000));
  const uploads = async () => {
    const { json } = await server.call("GET", "/v1/uploads?bucket=b");
    return json.uploads as {
      id: string;
      offset: number;
      phase: string;
      length: number | null;
    }[];
  };
  let [upload] = await uploads();
  while (upload === undefined || upload.offset < 50_000) [upload] = await uploads();
  assert.equal(upload.phase, "receiving");
  assert.equal(upload.length, null);
  assert.equal((await server.call("GET", `/v1/uploads/${upload.id}`)).json.key, "slow");
  assert.equal((await server.call("DELETE", `/v1/uploads/${upload.id}`)).status, 204);
  // Told at once, also to a client that says nothing more.
  assert.match(await readUntil(socket, /"code":"expired"/), /^HTTP\/1\.1 403 /);
  socket.destroy();
  assert.equal((await server.call("DELETE", `/v1/uploads/${upload.id}`)).status, 404);
  assert.deepEqual(await keysIn(server), []);
});
