import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { type TestContext, test } from "node:test";
import { Worker } from "node:worker_threads";
import { OperationalError } from "../core/errors.ts";
import type { ObjectBody } from "../core/ports/storage-driver.ts";
import { requestScope } from "./deadline.ts";
import { type SendResult, sendBody } from "./send-body.ts";
import { eventually, RawClient, startServer } from "./testing.ts";
import type { MonotonicClock } from "./watch.ts";

const KiB = 1024;
const MiB = 1024 * KiB;

/** A producer with one buffer that it overwrites at each pull, as a driver may. */
class OneBuffer implements ObjectBody {
  disposed = 0;
  pulls = 0;
  readonly #length: number;
  readonly #failAt: number;
  readonly #buffer: Buffer;

  constructor(length: number, { failAt = Number.POSITIVE_INFINITY, chunkBytes = 64 * KiB } = {}) {
    this.#length = length;
    this.#failAt = failAt;
    this.#buffer = Buffer.alloc(chunkBytes);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (let offset = 0; offset < this.#length; offset += this.#buffer.length) {
      this.pulls++;
      if (offset >= this.#failAt) throw new OperationalError("data_damaged", "block 3 is damaged");
      const chunk = this.#buffer.subarray(0, Math.min(this.#buffer.length, this.#length - offset));
      fillPattern(chunk, offset);
      yield chunk;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.disposed++;
    this.#buffer.fill(0xee);
  }
}

/** Every 4 bytes say where they are. */
function fillPattern(chunk: Buffer, offset: number): void {
  for (let at = 0; at + 4 <= chunk.length; at += 4) chunk.writeUInt32LE((offset + at) >>> 0, at);
}

function firstWrong(bytes: Buffer): number {
  for (let at = 0; at + 4 <= bytes.length; at += 4) if (bytes.readUInt32LE(at) !== at) return at;
  return -1;
}

interface Sent {
  readonly body: OneBuffer;
  result?: SendResult;
}

async function sendingServer(
  t: TestContext,
  make: () => OneBuffer,
  {
    length,
    ...options
  }: { readonly length: number; readonly config?: object; readonly clock?: MonotonicClock },
) {
  const sent: Sent[] = [];
  const server = await startServer(
    t,
    (app) => {
      app.route({
        method: ["GET", "HEAD"],
        url: "/",
        handler: async (request, reply) => {
          const entry: Sent = { body: make() };
          sent.push(entry);
          entry.result = await sendBody(request, reply, entry.body, {
            status: 200,
            headers: { "content-type": "application/octet-stream" },
            length,
          });
        },
      });
    },
    options,
  );
  return { ...server, sent };
}

const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

const bodyOf = (text: string): Buffer =>
  Buffer.from(text.slice(text.indexOf("\r\n\r\n") + 4), "latin1");

test("a body arrives whole though the producer reuses its one buffer, on one connection", async (t) => {
  const length = 8 * MiB + 4;
  const { port, sent, app } = await sendingServer(t, () => new OneBuffer(length), { length });
  const client = new RawClient(t, port);
  for (let round = 0; round < 3; round++) {
    client.forget();
    await client.write(get);
    const text = await client.untilBody(length);
    assert.match(text, /^HTTP\/1\.1 200 [\s\S]*content-length: 8388612\r\n/i);
    assert.equal(bodyOf(text).length, length);
    assert.equal(firstWrong(bodyOf(text)), -1);
  }
  await eventually(() => app.httpRuntime.scopes.size === 0, "all requests ended");
  await eventually(
    () => sent.every(({ body, result }) => body.disposed === 1 && result !== undefined),
    "disposed",
  );
  assert.deepEqual(
    sent.map(({ result }) => result),
    Array(3).fill({ sentBytes: length }),
  );
});

test("small and empty bodies and HEAD are whole answers, and dispose the body", async (t) => {
  for (const length of [0, 4, 1000]) {
    const { port, sent } = await sendingServer(t, () => new OneBuffer(length), { length });
    const client = new RawClient(t, port);
    await client.write(get);
    await eventually(() => sent[0]?.result !== undefined, "the answer");
    await client.until(/\r\n\r\n/);
    assert.match(client.text, new RegExp(`content-length: ${length}\r\n`, "i"));
    await eventually(() => bodyOf(client.text).length === length, "the body");
    client.forget();
    await client.write(get.replace("GET", "HEAD"));
    await client.until(/\r\n\r\n/);
    await eventually(() => sent[1]?.body.disposed === 1, "disposed");
    assert.equal(sent[1]?.body.pulls, 0);
    assert.match(client.text, new RegExp(`content-length: ${length}\r\n.*\r\n\r\n$`, "is"));
  }
});

test("an error before the first byte is a problem document", async (t) => {
  const length = MiB;
  const make = () => new OneBuffer(length, { failAt: 0 });
  const { port, sent } = await sendingServer(t, make, { length });
  const client = new RawClient(t, port);
  await client.write(get);
  assert.match(await client.until(/\}$/), /^HTTP\/1\.1 400 [\s\S]*"code":"data_damaged"/);
  assert.equal(sent[0]?.body.disposed, 1);
});

test("an error in the middle cuts the connection: the response never looks whole", async (t) => {
  const length = MiB;
  const make = () => new OneBuffer(length, { failAt: 512 * KiB });
  const { port, sent, lines } = await sendingServer(t, make, { length });
  const client = new RawClient(t, port);
  await client.write(get);
  const text = await client.untilClosed();
  assert.match(text, /^HTTP\/1\.1 200 /);
  assert.ok(bodyOf(text).length < length);
  await eventually(() => sent[0]?.body.disposed === 1, "disposed");
  assert.ok(sent[0]?.result?.error instanceof OperationalError);
  assert.ok(lines.some(({ message }) => message === "a response was cut"));
});

test("what a producer finds wrong after its last byte still cuts the response", async (t) => {
  for (const length of [4, 64 * KiB, MiB]) {
    const inner = new OneBuffer(length);
    const body: ObjectBody = {
      async *[Symbol.asyncIterator]() {
        yield* inner;
        throw new OperationalError("data_damaged", "the digest of the whole is wrong");
      },
      [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
    };
    const { port } = await startServer(t, (app) => {
      app.get("/", async (request, reply) => {
        await sendBody(request, reply, body, { status: 200, headers: {}, length });
      });
    });
    const client = new RawClient(t, port);
    await client.write(get);
    const text = await client.untilClosed();
    assert.ok(text === "" || bodyOf(text).length < length, `${length}`);
    assert.equal(inner.disposed, 1);
  }
});

test("a producer that gives too few or too many bytes never looks whole", async (t) => {
  for (const actual of [MiB - 4, MiB + 4, 2 * MiB]) {
    const { port, sent } = await sendingServer(t, () => new OneBuffer(actual), { length: MiB });
    const client = new RawClient(t, port);
    await client.write(get);
    const text = await client.untilClosed();
    assert.ok(bodyOf(text).length < MiB, `${actual}`);
    await eventually(() => sent[0]?.result?.error !== undefined, "cut");
  }
});

test("a reader that leaves frees the body at once", async (t) => {
  const length = 1024 * MiB;
  const { port, sent, app } = await sendingServer(t, () => new OneBuffer(length), { length });
  const client = new RawClient(t, port);
  await client.write(get);
  await eventually(() => client.bytes > MiB, "some bytes");
  client.socket.destroy();
  await eventually(() => sent[0]?.result?.error !== undefined, "cut");
  assert.equal(sent[0]?.body.disposed, 1);
  assert.equal(app.httpRuntime.watch.size, 0);
});

test("a reader that stops reading is cut after the idle time; a slow one is not", async (t) => {
  const length = 64 * MiB;
  const withIdle = (readerIdleMsMax: string) =>
    sendingServer(t, () => new OneBuffer(length), { length, config: { readerIdleMsMax } });
  const impatient = await withIdle("1500 ms");
  const stopped = new RawClient(t, impatient.port);
  stopped.socket.pause();
  await stopped.write(get);
  // This process, and with it the slow reader, may stand still for seconds.
  const patient = await withIdle("6 s");
  const slow = new RawClient(t, patient.port);
  await slow.write(get);
  // For longer than the idle time. The kernel tells the server only once a third of its buffer is free, which is more
  // than a MiB.
  for (let round = 0; round < 20; round++) {
    slow.socket.pause();
    await new Promise((resolve) => setTimeout(resolve, 350));
    slow.socket.resume();
    for (const until = slow.bytes + MiB; slow.bytes < until; ) await once(slow.socket, "data");
  }
  await eventually(() => slow.bytes >= length, "the slow reader has all");
  const [cut] = impatient.sent;
  await eventually(() => cut?.result?.error !== undefined, "the stopped reader was cut");
  assert.ok(cut?.result?.error instanceof OperationalError);
  assert.match(cut.result.error.message, /took no byte for 1.5 s/);
  const [whole] = patient.sent;
  await eventually(() => whole?.result !== undefined, "the slow answer ended");
  assert.deepEqual(whole?.result, { sentBytes: length });
});

test("a reader that takes bytes all the time is not cut, however long the kernel says nothing of them", async (t) => {
  if (!existsSync("/proc/net/tcp")) return void t.skip("no /proc/net/tcp here");
  const length = 16 * MiB;
  const options = { length, config: { readerIdleMsMax: "4 s" } };
  const { port, sent } = await sendingServer(t, () => new OneBuffer(length), options);
  const client = new RawClient(t, port);
  await client.write(get);
  // A third of the kernel's buffer, up to 1.4 MB, takes eight seconds of this.
  for (const until = performance.now() + 12_000; performance.now() < until; ) {
    client.socket.pause();
    await new Promise((resolve) => setTimeout(resolve, 350));
    client.socket.resume();
    for (const enough = client.bytes + 64 * KiB; client.bytes < enough; ) {
      await once(client.socket, "data");
    }
  }
  await client.untilBody(length);
  await eventually(() => sent[0]?.result !== undefined, "the answer ended");
  assert.deepEqual(sent[0]?.result, { sentBytes: length });
});

test("a reader is not cut for the time in which this process stood still", async (t) => {
  if (!existsSync("/proc/net/tcp")) return void t.skip("no /proc/net/tcp here");
  let nowMs = 0;
  const length = 4000 * MiB;
  const clock = { monotonicMs: () => nowMs };
  const { port, sent } = await sendingServer(t, () => new OneBuffer(length), { length, clock });
  // A thread of its own reads on meanwhile.
  const reader = new Worker(
    `const { connect } = require("node:net");
    const { parentPort } = require("node:worker_threads");
    const socket = connect(${port}, "127.0.0.1");
    socket.once("data", () => parentPort.postMessage(socket.localPort)).resume();
    socket.write(${JSON.stringify(get)});`,
    { eval: true },
  );
  t.after(() => reader.terminate());
  const [readerPort]: number[] = await once(reader, "message");
  const hex = (number = 0) => number.toString(16).toUpperCase().padStart(4, "0");
  const taken = new RegExp(`:${hex(port)} 0100007F:${hex(readerPort)} 01 00000000:`);
  for (let round = 0; round < 3; round += 1) {
    // What follows an immediate is the timers, and only then the sockets are looked at.
    await new Promise((resolve) => setImmediate(resolve));
    const since = performance.now();
    while (!taken.test(readFileSync("/proc/net/tcp", "latin1"))) {
      assert.ok(performance.now() - since < 60_000, "the reader takes what there is");
    }
    nowMs += 120_000;
    // Several ticks, and what they look at.
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.equal(sent[0]?.result?.error, undefined);
  }
});

test("slow storage is not taken for a slow reader", async (t) => {
  const body: ObjectBody = {
    async *[Symbol.asyncIterator]() {
      yield Buffer.from("abc");
      await new Promise((resolve) => setTimeout(resolve, 600));
      yield Buffer.from("def");
    },
    async [Symbol.asyncDispose]() {},
  };
  const { port } = await startServer(
    t,
    (app) => {
      app.get("/", async (request, reply) => {
        await sendBody(request, reply, body, { status: 200, headers: {}, length: 6 });
      });
    },
    { config: { readerIdleMsMax: "200 ms", workMsMax: "300 ms" } },
  );
  const client = new RawClient(t, port);
  await client.write(get);
  await client.until(/abcdef$/);
});

test("a download costs one chunk: 100 readers that do not read raise memory by little", async (t) => {
  const length = 1024 * MiB;
  const { port, sent, app } = await sendingServer(t, () => new OneBuffer(length), { length });
  const open = async (count: number): Promise<RawClient[]> => {
    const clients = Array.from({ length: count }, () => new RawClient(t, port));
    for (const client of clients) client.socket.pause();
    await Promise.all(clients.map((client) => client.write(get)));
    return clients;
  };
  const buffered = (): number => {
    let bytes = 0;
    for (const scope of app.httpRuntime.scopes) bytes += scope.bytesBuffered;
    return bytes;
  };
  await open(100);
  await eventually(() => sent.length === 100, "all downloads began");
  let pulls = -1;
  let still = 0;
  await eventually(() => {
    const now = sent.reduce((sum, { body }) => sum + body.pulls, 0);
    still = now === pulls ? still + 1 : 0;
    pulls = now;
    // On a busy machine the kernel takes a pause now and then.
    return still === 20;
  }, "the downloads came to rest");
  assert.ok(buffered() <= 100 * 65 * KiB, `${buffered()}`);
});

test("100 downloads on one connection leave no listener on the socket", async (t) => {
  const length = 128 * KiB;
  const { port, app } = await sendingServer(t, () => new OneBuffer(length), { length });
  const connected = once(app.server, "connection");
  const client = new RawClient(t, port);
  const [socket] = await connected;
  const counts = () =>
    socket
      .eventNames()
      .map((name: string) => `${String(name)}:${socket.listenerCount(name)}`)
      .join();
  const download = async () => {
    client.forget();
    await client.write(get);
    await client.untilBody(length);
    await eventually(() => app.httpRuntime.scopes.size === 0, "the end");
  };
  await download();
  const before = counts();
  for (let index = 0; index < 100; index++) await download();
  assert.equal(counts(), before);
});

test("a request that was not opened here is a defect, not a silent pass", () => {
  assert.throws(() => requestScope({ raw: {} } as never), /did not come through/);
});
