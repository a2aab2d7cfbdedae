/** Damage of a stored file is noticed while it is read: no response ends as if it were whole. */
import assert from "node:assert/strict";
import { open, stat, truncate } from "node:fs/promises";
import { type TestContext, test } from "node:test";
import { blobFileOf } from "../harness/data-folder.ts";
import {
  get,
  objectPath,
  openSocket,
  problemCode,
  put,
  readToEnd,
  requestHead,
  send,
} from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { type ServerProcess, startServer } from "../harness/server-process.ts";

const largeBytes = 3 * 1024 * 1024 + 12_345;
const smallBytes = 1000;

function content(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let index = 0; index < length; index += 1) bytes[index] = (index * 31 + (index >> 8)) & 0xff;
  return bytes;
}

async function store(server: ServerProcess, key: string, length: number): Promise<string> {
  assert.equal((await put(server, key, content(length))).status, 201);
  return blobFileOf(server.data, key);
}

async function flipByte(file: string, at: number): Promise<void> {
  await using handle = await open(file, "r+");
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, at);
  buffer.writeUInt8(buffer.readUInt8() ^ 0x10);
  await handle.write(buffer, 0, 1, at);
}

/** Reads as curl does: believes the head, counts the bytes. True if the response came whole. */
async function arrivesWhole(
  server: ServerProcess,
  key: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<boolean> {
  const socket = await openSocket(server);
  const received = readToEnd(socket);
  socket.write(requestHead("GET", objectPath(key), { connection: "close", ...headers }));
  const text = (await received).toString("latin1");
  const headEnd = text.indexOf("\r\n\r\n");
  if (!/^HTTP\/1\.1 20[06] /.test(text)) {
    assert.match(text, /^HTTP\/1\.1 500 /, text.slice(0, 200));
    return false;
  }
  const declared = /\r\ncontent-length: (\d+)\r\n/i.exec(text.slice(0, headEnd + 2))?.[1];
  assert.ok(declared !== undefined, "the length is declared");
  const came = text.length - headEnd - 4;
  assert.ok(came <= Number(declared));
  return came === Number(declared);
}

async function assertDamageNoticed(
  t: TestContext,
  server: ServerProcess,
  key: string,
  range: string,
): Promise<void> {
  await t.test(`${key}: the whole object`, async () => {
    assert.equal(await arrivesWhole(server, key), false);
    await assertFails(server, key, {});
  });
  await t.test(`${key}: ${range}`, async () => {
    assert.equal(await arrivesWhole(server, key, { range }), false);
    await assertFails(server, key, { range });
  });
  await t.test(`${key}: HEAD says nothing wrong, and GET does not complete`, async () => {
    const head = await send(server, "HEAD", objectPath(key));
    assert.ok(head.status === 200 || head.status === 500);
    if (head.status !== 200) return;
    const declared = Number(head.headers["content-length"]);
    const answer = await get(server, key).catch(() => undefined);
    assert.ok(answer === undefined || answer.status === 500);
    assert.ok(declared > 0);
  });
}

/** The connection breaks, or, where nothing was sent yet, a problem is answered. */
async function assertFails(
  server: ServerProcess,
  key: string,
  headers: Readonly<Record<string, string>>,
): Promise<void> {
  const answer = await get(server, key, headers).catch(() => undefined);
  if (answer === undefined) return;
  assert.equal(answer.status, 500);
  assert.equal(problemCode(answer), "data_damaged");
}

const damagedLines = (server: ServerProcess) =>
  server.log.filter(({ text }) => text.includes("data_damaged")).length;

const flips = [
  { name: "first", at: 0, damaged: "bytes=0-9", sound: [`bytes=${largeBytes - 10}-`, "bytes=-1"] },
  {
    name: "middle",
    at: Math.floor(largeBytes / 2),
    damaged: `bytes=${Math.floor(largeBytes / 2) - 5}-${Math.floor(largeBytes / 2) + 5}`,
    sound: ["bytes=0-0", `bytes=${largeBytes - 1}-`, "bytes=1000-2000"],
  },
  {
    name: "last",
    at: largeBytes - 1,
    damaged: "bytes=-1",
    sound: ["bytes=0-0", "bytes=1000-2000"],
  },
];

for (const { name, at, damaged, sound } of flips) {
  test(`a flipped byte, the ${name} of a large object, is never served`, async (t) => {
    const server = await startServer(t);
    const file = await store(server, "large", largeBytes);
    assert.ok(await arrivesWhole(server, "large"));
    await flipByte(file, at);
    await assertDamageNoticed(t, server, "large", damaged);
    await eventually("the log names the damage", () => damagedLines(server) > 0);
    for (const range of sound) {
      const answer = await get(server, "large", { range });
      assert.equal(answer.status, 206, range);
      const [, first = "", last = ""] =
        /^bytes (\d+)-(\d+)\//.exec(answer.headers["content-range"] ?? "") ?? [];
      const expected = content(largeBytes).subarray(Number(first), Number(last) + 1);
      assert.ok(answer.body.equals(expected), `${range} is undamaged and served`);
    }
  });
}

test("a flipped byte of a small object is answered with a problem, not with bytes", async (t) => {
  const server = await startServer(t);
  for (const at of [0, smallBytes / 2, smallBytes - 1]) {
    const key = `small-${at}`;
    await flipByte(await store(server, key, smallBytes), at);
    await assertDamageNoticed(t, server, key, `bytes=${at}-${at}`);
  }
  await eventually("the log names the damage", () => damagedLines(server) > 0);
});

test("a truncated file is never served as whole", async (t) => {
  const server = await startServer(t);
  for (const [key, length] of [
    ["large", largeBytes],
    ["small", smallBytes],
  ] as const) {
    for (const missing of [1, Math.floor(length / 2), length]) {
      const name = `${key}-without-${missing}`;
      const file = await store(server, name, length);
      await truncate(file, length - missing);
      await assertDamageNoticed(t, server, name, `bytes=${length - missing}-`);
    }
  }
  await eventually("the log names the damage", () => damagedLines(server) > 0);
});

test("an extended file is never served as whole, and its extra bytes not at all", async (t) => {
  const server = await startServer(t);
  for (const [key, length] of [
    ["large", largeBytes],
    ["small", smallBytes],
  ] as const) {
    const file = await store(server, key, length);
    await using handle = await open(file, "a");
    await handle.write("more");
    assert.equal((await stat(file)).size, length + 4);
    await assertDamageNoticed(t, server, key, "bytes=0-");
    const after = await get(server, key, { range: `bytes=${length}-` });
    assert.notEqual(after.status, 206);
  }
  await eventually("the log names the damage", () => damagedLines(server) > 0);
});
