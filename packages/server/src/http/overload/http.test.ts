/** Overload protection at the socket: who is refused how, what is counted, how many bytes pass, what is left behind. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { type TestContext, test } from "node:test";
import type { FastifyInstance } from "fastify";
import { runningMs, runningMsOf } from "../../../../../test/harness/running-time.ts";
import type { ObjectBody } from "../../core/ports/storage-driver.ts";
import { receiveBody } from "../body.ts";
import { sendBody } from "../send-body.ts";
import { connectionsOf, eventually, RawClient, startServer } from "../testing.ts";

const head = (method: string, path: string, headers = ""): string =>
  `${method} ${path} HTTP/1.1\r\nHost: a\r\n${headers}\r\n`;

interface Gate {
  /** How many handlers wait. */
  waiting: number;
  open: () => void;
}

function bytesOf(length: number): ObjectBody {
  const chunk = Buffer.alloc(64 * 1024);
  return {
    async *[Symbol.asyncIterator]() {
      for (let left = length; left > 0; left -= chunk.length) yield chunk.subarray(0, left);
    },
    async [Symbol.asyncDispose]() {},
  };
}

/** Works until the gate opens; takes bodies; sends as many bytes as it is asked for. */
async function start(t: TestContext, overload: object, config: object = {}) {
  const gates: (() => void)[] = [];
  const gate: Gate = {
    waiting: 0,
    open: () => {
      for (const open of gates.splice(0)) open();
    },
  };
  const server = await startServer(
    t,
    (app: FastifyInstance) => {
      app.get("/work", async () => {
        gate.waiting += 1;
        await new Promise<void>((open) => gates.push(open));
        gate.waiting -= 1;
        return "worked";
      });
      app.get("/", async () => "fine");
      app.put("/", async (request, reply) => {
        let bytes = 0;
        for await (const chunk of receiveBody(request, reply).body) bytes += chunk.length;
        return `got ${bytes};`;
      });
      app.get("/bytes/:count", async (request, reply) => {
        const { count } = request.params as { count: string };
        const options = { status: 200, headers: {}, length: Number(count) };
        await sendBody(request, reply, bytesOf(Number(count)), options);
        return reply;
      });
    },
    { config: { ...config, overload } },
  );
  return { ...server, gate };
}

test("over the bound a request waits for its turn, then gets 503 and Retry-After in under 100 ms, and the others are served", async (t) => {
  const { port, gate } = await start(t, { workMax: 16, workMin: 16, queueMax: 16 });
  const clients = Array.from({ length: 16 }, () => new RawClient(t, port));
  for (const client of clients) await client.write(head("GET", "/work"));
  await eventually(() => gate.waiting === 16, "all places are taken");
  const late = new RawClient(t, port);
  await late.write(head("GET", "/"));
  // 75 ms of waiting; the rest is slack for a busy machine.
  const refusal = await Promise.race([late.until(/503[\s\S]*overloaded/), runningMs(400)]);
  assert.match(refusal ?? "none in time", /retry-after: 2/i);
  const control = new RawClient(t, port);
  await control.write(head("HEAD", "/"));
  assert.doesNotMatch(await control.until(/HTTP/), /503/, "another class has its own places");
  const patient = new RawClient(t, port);
  await patient.write(head("GET", "/"));
  gate.open();
  await patient.until(/fine/);
  for (const client of clients) await client.until(/worked/);
});

test("bodies that flow slowly take no place", async (t) => {
  const { port } = await start(t, { workMax: 16, workMin: 16, queueMax: 0 });
  const slow = Array.from({ length: 64 }, () => new RawClient(t, port));
  for (const client of slow) {
    await client.write(head("PUT", "/", "Content-Length: 2000000\r\n"));
    await client.write("x");
    // Has begun when its first byte was pulled: until then it is work.
    await new Promise((done) => setImmediate(done));
  }
  const good = new RawClient(t, port);
  await good.write(head("PUT", "/", "Content-Length: 2000000\r\n"));
  await good.write(Buffer.alloc(2_000_000));
  await good.until(/got 2000000/);
  assert(slow.every(({ closed, text }) => !closed && text === ""));
});

test("an address that asks too often gets 429 with the limit's headers, and more later", async (t) => {
  const { port } = await start(t, { addressRequestsPerSecondMax: 4 });
  const client = new RawClient(t, port);
  // At once, so that the server reads them at once, and ten seconds' worth.
  await client.write(head("GET", "/").repeat(40));
  const answers = () => client.text.split("HTTP/1.1 ").length - 1;
  await eventually(() => answers() === 40 && /\}$/.test(client.text), "all are answered");
  const { text } = client;
  const refusal = text.slice(text.indexOf("HTTP/1.1 429"));
  assert.match(refusal, /retry-after: 1\r/i);
  assert.match(refusal, /ratelimit-policy: "address";q=4;w=1\r/i);
  assert.match(refusal, /ratelimit: "address";r=0;t=1\r/i);
  await new Promise((done) => setTimeout(done, 1100));
  client.forget();
  await client.write(head("GET", "/"));
  assert.match(await client.until(/HTTP[\s\S]*;|fine/), /^HTTP\/1\.1 200/);
});

test("connections over an address's bound are closed; a trusted proxy's are not counted", async (t) => {
  const limits = { addressConnectionsMax: 4 };
  const { port, app } = await start(t, limits, { trustedProxies: [] });
  const clients = Array.from({ length: 4 }, () => new RawClient(t, port));
  for (const client of clients) {
    await client.write(head("GET", "/"));
    await client.until(/fine/);
  }
  const fifth = new RawClient(t, port);
  await fifth.untilClosed();
  clients[0]?.socket.destroy();
  await eventually(
    async () => (await connectionsOf(app)) === 3,
    "the server knows that it is gone",
  );
  const again = new RawClient(t, port);
  await again.write(head("GET", "/"));
  await again.until(/fine/);
  const behind = await start(t, limits);
  for (let count = 0; count < 8; count++) {
    const client = new RawClient(t, behind.port);
    await client.write(head("GET", "/"));
    await client.until(/fine/);
  }
});

test("bodies pass at the configured bandwidth each way, and small ones do not wait", async (t) => {
  const perSecond = 4_000_000;
  const { port } = await start(t, {
    receivedBytesPerSecondMax: perSecond,
    sentBytesPerSecondMax: perSecond,
    controlShare: 0.25,
  });
  const seconds = async (running: () => Promise<unknown>): Promise<number> => {
    const startedAt = performance.now();
    await running();
    return (performance.now() - startedAt) / 1000;
  };
  const put = async (bytes: number): Promise<void> => {
    const client = new RawClient(t, port);
    await client.write(head("PUT", "/", `Content-Length: ${bytes}\r\n`));
    await client.write(Buffer.alloc(bytes));
    await client.until(/got \d+;/);
  };
  const get = async (bytes: number): Promise<void> => {
    const client = new RawClient(t, port);
    await client.write(head("GET", `/bytes/${bytes}`));
    await client.untilBody(bytes);
  };
  const small: number[] = [];
  const asking = (async () => {
    await new Promise((done) => setTimeout(done, 300));
    for (let count = 0; count < 5; count++) small.push(await runningMsOf(() => put(1000)));
  })();
  // Three quarters of the bandwidth, which is 3 MB in each second; both ways at once.
  const took: number[] = [];
  const runningSeconds =
    (await runningMsOf(async () => {
      took.push(
        ...(await Promise.all([
          seconds(() => Promise.all([put(2_000_000), put(1_000_000)])),
          seconds(() => Promise.all([get(2_000_000), get(1_000_000)])),
        ])),
      );
    })) / 1000;
  await asking;
  for (const one of took) assert(one > 0.85, `${one} s for a second's bytes`);
  assert(runningSeconds < 2.5, `${runningSeconds} s for a second's bytes`);
  for (const one of small) assert(one < 500, `${one} ms for a small body`);
});

test("a thousand half-open connections leave no descriptor, timer or place", async (t) => {
  const { port, app } = await start(
    t,
    { workMax: 16, workMin: 16 },
    { bodyIdleMsMax: "200 ms", headersMsMax: "200 ms" },
  );
  const before = process.getActiveResourcesInfo().length;
  for (let round = 0; round < 10; round++) {
    const sockets = Array.from({ length: 100 }, (_, index) => {
      const socket = connect({ port, host: "127.0.0.1" });
      socket.on("error", () => {});
      // A third each sends nothing, half a head, half a body; then nothing comes from there.
      const sent = ["", "PUT / HTTP/1.1\r\nHo", `${head("PUT", "/", "Content-Length: 9\r\n")}abc`];
      socket.write(sent[index % 3] ?? "");
      // What the server says is never read, and the connection never closed from here.
      socket.pause();
      return socket;
    });
    await new Promise((done) => setTimeout(done, 150));
    // As when the other machine is gone: without a word, once the server has given up.
    setTimeout(() => {
      for (const socket of sockets) socket.destroy();
    }, 600);
  }
  await eventually(() => app.httpRuntime.scopes.size === 0, "all requests ended");
  await eventually(async () => (await connectionsOf(app)) === 0, "all connections are closed");
  await eventually(() => app.httpRuntime.watch.size === 0, "nothing is watched");
  const left = () => process.getActiveResourcesInfo().length;
  await eventually(() => left() <= before + 2, "no timer or socket is left");
  const good = new RawClient(t, port);
  await good.write(head("GET", "/"));
  await good.until(/fine/);
});
