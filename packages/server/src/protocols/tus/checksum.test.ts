// The extensions checksum and checksum-trailer: whole and verified, or not at all.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import { base64, bytesType, metadata, rootAuthorization, startTus } from "./testing.ts";

const body = "hello world";

const digest = (name: string, text = body) => createHash(name).update(text).digest("base64");

function crc32Of(text: string): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(crc32(text));
  return bytes.toString("base64");
}

/** CRC-32C of "hello world". */
const crc32cOf = Buffer.from("c99465aa", "hex").toString("base64");

test("each algorithm that is offered is verified", async (t) => {
  const tus = await startTus(t);
  const object = await tus.call("PUT", "/v1/objects/demo/reference", { body });
  const { checksums } = JSON.parse(object.text) as { checksums: { crc64nvme: string } };
  const crc64nvme = Buffer.from(checksums.crc64nvme, "hex").toString("base64");
  for (const [name, value] of [
    ["sha1", digest("sha1")],
    ["md5", digest("md5")],
    ["sha256", digest("sha256")],
    ["crc32", crc32Of(body)],
    ["crc32c", crc32cOf],
    ["crc64nvme", crc64nvme],
  ] as const) {
    const path = await tus.create({ "upload-length": "11" });
    const wrong = await tus.append(path, 0, "hello wordl", {
      "upload-checksum": `${name} ${value}`,
    });
    assert.equal(wrong.status, 460, name);
    assert.equal((await tus.call("HEAD", path)).headers["upload-offset"], "0", name);
    const right = await tus.append(path, 0, body, { "upload-checksum": `${name} ${value}` });
    assert.deepEqual([right.status, right.headers["upload-offset"]], [204, "11"], name);
  }
});

test("a mismatch is 460 and leaves the upload as it was; a checksum is of one request", async (t) => {
  const tus = await startTus(t);
  const path = await tus.create({
    "upload-length": "11",
    "upload-metadata": metadata({ key: "c" }),
  });
  const first = await tus.append(path, 0, "hello ", {
    "upload-checksum": `sha1 ${digest("sha1", "hello ")}`,
  });
  assert.equal(first.status, 204);
  const wrong = await tus.append(path, 6, "world", { "upload-checksum": `sha1 ${digest("sha1")}` });
  assert.deepEqual([wrong.status, wrong.statusMessage], [460, "Checksum Mismatch"]);
  assert.equal(wrong.headers["tus-resumable"], "1.0.0");
  assert.equal((await tus.call("HEAD", path)).headers["upload-offset"], "6");
  const right = await tus.append(path, 6, "world", {
    "upload-checksum": `md5 ${digest("md5", "world")}`,
  });
  assert.equal(right.status, 204);
  assert.equal((await tus.object("c")).text, body);
});

test("what is not a checksum is 400, one that no body can have is 460", async (t) => {
  const tus = await startTus(t);
  const path = await tus.create({ "upload-length": "11" });
  for (const [text, status] of [
    ["sha512 AAAA", 400],
    ["constructor AAAA", 400],
    ["SHA1 AAAA", 400],
    ["sha1", 400],
    ["sha1 !!!!", 400],
    ["sha1 AAA", 400],
    [`sha1  ${digest("sha1")}`, 400],
    [`sha1 ${digest("sha1")}, sha1 ${digest("sha1")}`, 400],
    ["", 400],
    [`sha1 ${base64(Buffer.alloc(21))}`, 460],
    [`sha1 ${base64(Buffer.alloc(19))}`, 460],
  ] as const) {
    const answered = await tus.append(path, 0, body, { "upload-checksum": text });
    assert.equal(answered.status, status, text);
    assert.equal((await tus.call("HEAD", path)).headers["upload-offset"], "0", text);
  }
});

test("a body that was cut short cannot be verified, so none of it counts", async (t) => {
  const tus = await startTus(t);
  const path = await tus.create({ "upload-length": "100" });
  const socket = connect({ port: tus.port, host: "127.0.0.1" });
  const fields = [`Upload-Checksum: sha1 ${digest("sha1")}`, "Content-Length: 100"];
  socket.write(`${head(path, fields)}0123456789`);
  // The server is asked until it has noticed.
  await new Promise((resolve) => setTimeout(resolve, 200));
  socket.destroy();
  const after = await tus.call("HEAD", path);
  assert.deepEqual([after.status, after.headers["upload-offset"]], [200, "0"]);
  assert.equal((await tus.append(path, 0, "0123456789")).headers["upload-offset"], "10");
});

test("trailers: right, wrong, absent, unreadable, of every algorithm, and beside a header", async (t) => {
  const tus = await startTus(t);
  const path = await tus.create({
    "upload-length": "11",
    "upload-metadata": metadata({ key: "t" }),
  });
  const announced = "Trailer: Upload-Checksum";
  const good = `sha256 ${digest("sha256")}`;
  const cases: readonly [string, number, readonly string[], readonly string[]][] = [
    ["a wrong one", 460, [announced], [`Upload-Checksum: sha1 ${digest("sha1", "x")}`]],
    ["one of a wrong length", 460, [announced], ["Upload-Checksum: sha1 AAAA"]],
    ["none", 400, [announced], []],
    ["none beside a header", 400, [announced, `Upload-Checksum: ${good}`], []],
    ["an unknown algorithm", 400, [announced], ["Upload-Checksum: sha512 AAAA"]],
    ["no base64", 400, [announced], ["Upload-Checksum: sha1 ???"]],
    ["two", 400, [announced], [`Upload-Checksum: ${good}`, `Upload-Checksum: ${good}`]],
    [
      "another than the header's",
      460,
      [announced, `Upload-Checksum: ${good}`],
      [`Upload-Checksum: sha256 ${digest("sha256", "x")}`],
    ],
    [
      "a right one beside a wrong header",
      460,
      [announced, `Upload-Checksum: md5 ${digest("md5", "x")}`],
      [`Upload-Checksum: ${good}`],
    ],
  ];
  for (const [what, status, fields, trailers] of cases) {
    const answered = await chunked(tus.port, path, fields, trailers);
    assert.equal(Number(answered.slice(9, 12)), status, `${what}: ${answered}`);
    assert.equal((await tus.call("HEAD", path)).headers["upload-offset"], "0", what);
  }
  const fields = ["trailer: X-Other, upload-checksum", `Upload-Checksum: md5 ${digest("md5")}`];
  const right = await chunked(tus.port, path, fields, [`upload-checksum: ${good}`]);
  assert.match(right, /^HTTP\/1\.1 204 [\s\S]*upload-offset: 11/i);
  assert.equal((await tus.object("t")).text, body);
});

test("a trailer that cannot come, because the body is not chunked, is refused before the body", async (t) => {
  const tus = await startTus(t);
  const path = await tus.create({ "upload-length": "11" });
  const socket = connect({ port: tus.port, host: "127.0.0.1" });
  // Not a byte of it is sent, and still the answer comes.
  const fields = ["Trailer: Upload-Checksum", "Content-Length: 11", "Expect: 100-continue"];
  socket.write(head(path, fields));
  assert.match(await received(socket), /^HTTP\/1\.1 400 [\s\S]*proxies/);
  assert.equal((await tus.call("HEAD", path)).headers["upload-offset"], "0");
});

test("a trailer on creation with upload is verified too", async (t) => {
  const tus = await startTus(t);
  const answered = await tus.call("POST", "/tus/demo", {
    headers: {
      "upload-length": "11",
      "content-type": bytesType,
      "transfer-encoding": "chunked",
      trailer: "Upload-Checksum",
    },
    body,
    trailers: { "Upload-Checksum": `crc32 ${crc32Of("other")}` },
  });
  assert.equal(answered.status, 460, answered.text);
  const location = String(answered.headers.location);
  assert.equal((await tus.call("HEAD", location)).headers["upload-offset"], "0");
});

function head(path: string, fields: readonly string[]): string {
  return [
    `PATCH ${path} HTTP/1.1`,
    "Host: localhost",
    "Connection: close",
    "Tus-Resumable: 1.0.0",
    `Authorization: ${rootAuthorization}`,
    `Content-Type: ${bytesType}`,
    "Upload-Offset: 0",
    ...fields,
    "",
    "",
  ].join("\r\n");
}

/** The body in two chunks, then the trailers as they are given. */
async function chunked(
  port: number,
  path: string,
  fields: readonly string[],
  trailers: readonly string[],
): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1" });
  const chunks = ["5\r\nhello\r\n", "6\r\n world\r\n", "0\r\n"].join("");
  const end = [...trailers, "", ""].join("\r\n");
  socket.write(`${head(path, ["Transfer-Encoding: chunked", ...fields])}${chunks}${end}`);
  return received(socket);
}

/** All until the server closes the connection. */
async function received(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk);
  return Buffer.concat(chunks).toString("latin1");
}
