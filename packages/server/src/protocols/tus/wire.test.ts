// What only a socket shows: 100 Continue, refusals that reach a client that still sends, bytes above
// ASCII, clients that leave or fall silent, header fields beyond every limit.

import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { eventually, readMetric } from "../../../../../test/harness/process-usage.ts";
import { bytesType, rootAuthorization, startTus, type TusServer } from "./testing.ts";

function message(start: string, fields: readonly string[], body: string | Buffer = ""): Buffer {
  const lines = [
    `${start} HTTP/1.1`,
    "Host: localhost",
    `Authorization: ${rootAuthorization}`,
    ...fields,
    "",
    "",
  ];
  return Buffer.concat([Buffer.from(lines.join("\r\n"), "latin1"), Buffer.from(body)]);
}

const version = "Tus-Resumable: 1.0.0";
const patchFields = [version, `Content-Type: ${bytesType}`, "Upload-Offset: 0"] as const;

class Client {
  readonly socket: Socket;
  text = "";
  closed = false;

  constructor(tus: TusServer) {
    this.socket = connect({ port: tus.port, host: "127.0.0.1" });
    this.socket.setEncoding("latin1");
    this.socket.on("data", (text: string) => {
      this.text += text;
    });
    this.socket.on("error", () => undefined);
    this.socket.on("close", () => {
      this.closed = true;
    });
  }

  async until(condition: () => boolean): Promise<string> {
    const deadline = Date.now() + 60_000;
    while (!condition()) {
      if (Date.now() > deadline) throw new Error(`never came: ${JSON.stringify(this.text)}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return this.text;
  }
}

/** Ten bytes are on their way to the upload, and the server has the first five of them. */
async function halfSent(tus: TusServer, path: string): Promise<Client> {
  const client = new Client(tus);
  const fields = [...patchFields, "Content-Length: 10", "Expect: 100-continue"];
  client.socket.write(message(`PATCH ${path}`, fields));
  // The upload is being written from here on.
  await client.until(() => client.text === "HTTP/1.1 100 Continue\r\n\r\n");
  client.text = "";
  const received = () => readMetric(tus.opsUrl, "http_received_bytes_total");
  const before = await received();
  client.socket.write("01234");
  const all = async () => (await received()) === before + 5;
  await eventually("the server has read them", all, 60_000);
  return client;
}

test("100 Continue comes only when every header was found good", async (t) => {
  const tus = await startTus(t);
  const path = await tus.create({ "upload-length": "5" });
  const expecting = [...patchFields, "Content-Length: 5", "Expect: 100-continue"];
  for (const [fields, status] of [
    [expecting.filter((field) => field !== version), 412],
    [expecting.map((field) => field.replace("Offset: 0", "Offset: 1").replace(": 5", ": 4")), 409],
    [expecting.map((field) => field.replace("Length: 5", "Length: 6")), 413],
    [[...expecting, "Upload-Checksum: sha512 AAAA"], 400],
    [expecting.map((field) => field.replace(bytesType, "text/plain")), 415],
  ] as const) {
    const client = new Client(tus);
    client.socket.write(message(`PATCH ${path}`, fields));
    const text = await client.until(() => client.closed);
    assert.equal(text.slice(0, 12), `HTTP/1.1 ${status}`);
    assert.match(text, /^connection: close\r$/im);
  }
  const client = new Client(tus);
  client.socket.write(message(`PATCH ${path}`, [...expecting, "Connection: close"]));
  await client.until(() => client.text.startsWith("HTTP/1.1 100"));
  client.socket.write("hello");
  assert.match(await client.until(() => client.closed), /HTTP\/1\.1 204 /);
});

test("a refusal reaches a client that goes on sending", async (t) => {
  const tus = await startTus(t, { http: { lingerMsMax: "60 s" } });
  const path = await tus.create({ "upload-length": String(10 * 1024 * 1024) });
  const small = await tus.create({ "upload-length": "5" });
  const big = Buffer.alloc(8 * 1024 * 1024, 1);
  for (const [target, fields, status] of [
    [path, patchFields.filter((field) => field !== version), 412],
    [path, patchFields.map((field) => field.replace("Offset: 0", "Offset: 3")), 409],
    [path, [...patchFields, "Upload-Length: 5"], 400],
    [path, [...patchFields, "Upload-Checksum: sha1 AAAA"], 460],
    [small, patchFields, 413],
  ] as const) {
    const client = new Client(tus);
    const all = [...fields, `Content-Length: ${big.length}`];
    client.socket.write(message(`PATCH ${target}`, all, big));
    const text = await client.until(() => client.closed);
    assert.equal(text.slice(0, 12), `HTTP/1.1 ${status}`);
  }
  assert.equal((await tus.call("HEAD", path)).headers["upload-offset"], "0");
});

test("metadata above ASCII comes back as the bytes that were sent", async (t) => {
  const tus = await startTus(t);
  const raw = Buffer.from("Upload-Metadata: naïve-\u00ff YQ==", "latin1").toString("latin1");
  const made = new Client(tus);
  const fields = [version, "Upload-Length: 1", "Connection: close", raw];
  made.socket.write(message("POST /tus/demo", fields));
  const location = /^location: (\S+)\r$/im.exec(await made.until(() => made.closed))?.[1] ?? "";
  const head = new Client(tus);
  head.socket.write(message(`HEAD ${new URL(location).pathname}`, [version, "Connection: close"]));
  const text = await head.until(() => head.closed);
  assert.ok(text.toLowerCase().includes(`${raw.replace(": ", ": ").toLowerCase()}\r\n`), text);
});

test("metadata of 14 KB passes; beyond headerBytesMax it is 431, and the server stays", async (t) => {
  const tus = await startTus(t);
  const large = `big ${Buffer.alloc(10_500, 1).toString("base64")}`;
  const path = await tus.create({ "upload-length": "1", "upload-metadata": large });
  assert.equal((await tus.call("HEAD", path)).headers["upload-metadata"], large);
  const huge = `big ${Buffer.alloc(300_000, 1).toString("base64")}`;
  const client = new Client(tus);
  client.socket.write(
    message("POST /tus/demo", [version, "Upload-Length: 1", `Upload-Metadata: ${huge}`]),
  );
  assert.match(await client.until(() => client.closed), /^HTTP\/1\.1 431 /);
  assert.equal((await tus.call("HEAD", path)).status, 200);
});

test("what came before the client left is kept, and goes on from there", async (t) => {
  const tus = await startTus(t);
  const path = await tus.create({ "upload-length": "10" });
  (await halfSent(tus, path)).socket.destroy();
  // Who asks finds the writer at work and waits for it.
  const head = await tus.call("HEAD", path);
  assert.deepEqual([head.status, head.headers["upload-offset"]], [200, "5"]);
  assert.equal((await tus.append(path, 5, "56789")).status, 204);
});

test("HEAD and PATCH take over from a client that fell silent", async (t) => {
  const tus = await startTus(t);
  const path = await tus.create({ "upload-length": "10" });
  const silent = await halfSent(tus, path);
  const head = await tus.call("HEAD", path);
  assert.deepEqual([head.status, head.headers["upload-offset"]], [200, "5"]);
  const appended = await tus.append(path, 5, "56789");
  assert.equal(appended.status, 204, appended.text);
  const refused = await silent.until(() => silent.closed || silent.text !== "");
  assert.match(refused, /^(?:HTTP\/1\.1 (?:423|503) |$)/);
  silent.socket.destroy();
});

test("an old client of HTTP/1.0 without Host gets an address that it can reach", async (t) => {
  const tus = await startTus(t);
  const client = new Client(tus);
  client.socket.write(
    `POST /tus/demo HTTP/1.0\r\n${version}\r\nAuthorization: ${rootAuthorization}\r\nUpload-Length: 1\r\n\r\n`,
  );
  const text = await client.until(() => client.closed);
  assert.match(text, /^HTTP\/1\.1 201 /);
  assert.ok(text.toLowerCase().includes(`location: ${tus.url}/tus/demo/`), text);
});

test("a Host, a forwarded host or an id that tries something ends in no answer's header", async (t) => {
  const tus = await startTus(t);
  for (const fields of [
    ["Host: evil.example/x?y#z"],
    ["Host: localhost", "X-Forwarded-Host: evil.example\u00ff", "X-Forwarded-Proto: javascript"],
    ["Host: user:pass@evil.example"],
  ]) {
    const client = new Client(tus);
    const all = [...fields, version, `Authorization: ${rootAuthorization}`, "Upload-Length: 1"];
    client.socket.write(
      `POST /tus/demo HTTP/1.1\r\n${all.join("\r\n")}\r\nConnection: close\r\n\r\n`,
    );
    const text = await client.until(() => client.closed);
    const location = /^location: (.*)\r$/im.exec(text)?.[1];
    if (location !== undefined) assert.doesNotMatch(location, /evil|javascript|pass/, text);
  }
});
