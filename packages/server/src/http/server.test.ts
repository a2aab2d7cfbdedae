import assert from "node:assert/strict";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import type { FastifyInstance } from "fastify";
import { OperationalError } from "../core/errors.ts";
import { receiveBody } from "./body.ts";
import { requestSignal } from "./deadline.ts";
import { eventually, RawClient, startServer } from "./testing.ts";

const get = (path: string, headers = ""): string =>
  `GET ${path} HTTP/1.1\r\nHost: a\r\n${headers}\r\n`;

function simpleServer(t: TestContext, config: object = {}) {
  return startServer(
    t,
    (app) => {
      app.get("/", async () => "fine;");
      app.get("/name/:name", async () => "named;");
      app.get("/defect", async () => {
        throw new TypeError("secret /etc/path");
      });
      app.get("/header", async (_request, reply) => reply.header("x", "a\nb").send("never;"));
      app.get("/busy", async () => {
        throw new OperationalError("rate_limited", "slow down", { context: { status: 1 } });
      });
      app.put("/", async (request, reply) => {
        let count = 0;
        for await (const chunk of receiveBody(request, reply).body) count += chunk.length;
        return `got ${count};`;
      });
    },
    { config },
  );
}

test("two Host headers are refused with 400, and the connection is closed", async (t) => {
  const { port } = await simpleServer(t);
  const client = new RawClient(t, port);
  await client.write(get("/", "hOST: b\r\n") + get("/"));
  const text = await client.untilClosed();
  assert.match(text, /^HTTP\/1\.1 400 [\s\S]*more than one Host header/);
  assert.match(text, /connection: close/i);
  assert.doesNotMatch(text, /fine;/);
});

test("a Content-Length over 2^53-1 is refused with 400, and the connection is closed", async (t) => {
  const { port } = await simpleServer(t, { lingerMsMax: "100 ms" });
  const client = new RawClient(t, port);
  await client.write("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9007199254740993\r\n\r\nx");
  const text = await client.untilClosed();
  assert.match(text, /^HTTP\/1\.1 400 [\s\S]*Content-Length is too large/);
});

test("what the parser refuses gets a problem document, and nothing after it is a request", async (t) => {
  const { port } = await simpleServer(t);
  const table: readonly (readonly [string, RegExp])[] = [
    ["junk\r\n\r\n", /^HTTP\/1\.1 400 /],
    ["GET / HTTP/1.1\r\nHost: a\r\nA: b\nC: d\r\n\r\n", /^HTTP\/1\.1 400 /],
    [
      "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
      /^HTTP\/1\.1 400 /,
    ],
    ["PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", /^HTTP\/1\.1 400 /],
    [
      "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      /^HTTP\/1\.1 400 /,
    ],
    [`GET / HTTP/1.1\r\nHost: a\r\nX: ${"x".repeat(40_000)}\r\n\r\n`, /^HTTP\/1\.1 431 /],
  ];
  for (const [bytes, status] of table) {
    const client = new RawClient(t, port);
    await client.write(bytes + get("/"));
    const text = await client.untilClosed();
    assert.match(text, status, bytes.slice(0, 60));
    assert.match(text, /application\/problem\+json/);
    assert.doesNotMatch(text, /fine;/);
    assert.equal(text.match(/HTTP\/1\.1 \d/g)?.length, 1);
  }
});

test("a header bomb of a megabyte gets its 431 before the connection closes", async (t) => {
  const { port } = await simpleServer(t);
  for (let round = 0; round < 5; round++) {
    const client = new RawClient(t, port);
    await client.write(`GET / HTTP/1.1\r\nHost: a\r\n${"X: yyyyyyyyyyyyyyyy\r\n".repeat(40_000)}`);
    client.socket.end();
    assert.match(await client.untilClosed(), /^HTTP\/1\.1 431 /);
  }
});

test("junk after a request in work: the request is answered, then the connection closes", async (t) => {
  const gate = Promise.withResolvers<void>();
  const { port, app } = await startServer(t, (server) => {
    server.get("/", async () => {
      await gate.promise;
      return "fine;";
    });
  });
  const client = new RawClient(t, port);
  await client.write(get("/"));
  await eventually(() => app.httpRuntime.scopes.size === 1, "the request is there");
  const [scope] = app.httpRuntime.scopes;
  const before = scope?.bytesRead ?? 0;
  await client.write("\x00\x01junk\r\n\r\n");
  await eventually(() => (scope?.bytesRead ?? 0) > before, "the junk is there");
  gate.resolve();
  const text = await client.untilClosed();
  assert.match(text, /^HTTP\/1\.1 200 [\s\S]*fine;$/);
});

test("broken chunk framing inside a body is a 400, and the handler's pull fails", async (t) => {
  const { port } = await simpleServer(t, { lingerMsMax: "100 ms" });
  const client = new RawClient(t, port);
  await client.write(
    "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nZZ\r\n",
  );
  const text = await client.untilClosed();
  assert.match(text, /^HTTP\/1\.1 400 [\s\S]*not well-formed/);
  assert.equal(text.match(/HTTP\/1\.1 \d/g)?.length, 1);
});

test("malformed percent-encoding and over-long paths are 400 problems with a request id", async (t) => {
  const { port } = await simpleServer(t);
  const client = new RawClient(t, port);
  for (const path of ["/name/%ZZ", "/name/%", "/name/%c3%28", "/%ff%fe"]) {
    client.forget();
    await client.write(get(path));
    const text = await client.until(/\}$/);
    assert.match(text, /^HTTP\/1\.1 4\d\d /, path);
    assert.match(text, /roma-request-id: /i);
    assert.doesNotMatch(text, /statusCode/);
  }
});

test("a malformed path with a body in flight is answered the same way", async (t) => {
  const { port } = await simpleServer(t, { lingerMsMax: "60 s" });
  const client = new RawClient(t, port);
  client.socket.pause();
  await client.write("PUT /name/%ZZ HTTP/1.1\r\nHost: a\r\nContent-Length: 20000000\r\n\r\n");
  await client.write(Buffer.alloc(20_000_000));
  client.socket.resume();
  assert.match(await client.untilClosed(), /^HTTP\/1\.1 400 /);
  assert.equal(client.error, undefined);
});

test("a defect is logged with its stack and answered as internal without a word of it", async (t) => {
  const { port, lines } = await simpleServer(t);
  const client = new RawClient(t, port);
  await client.write(get("/defect"));
  const text = await client.until(/\}$/);
  assert.match(text, /^HTTP\/1\.1 500 [\s\S]*"code":"internal"/);
  assert.doesNotMatch(text, /secret|etc|TypeError|at /);
  const line = lines.find(({ level }) => level === "error");
  assert.match(
    String((line?.fields as { err?: Error } | undefined)?.err?.stack),
    /secret \/etc\/path/,
  );
  client.forget();
  await client.write(get("/header"));
  assert.match(await client.until(/\}$/), /^HTTP\/1\.1 500 /);
  client.forget();
  await client.write(get("/"));
  await client.until(/fine;/);
});

test("a retryable refusal carries Retry-After, and standing members win over context", async (t) => {
  const { port } = await simpleServer(t);
  const client = new RawClient(t, port);
  await client.write(get("/busy"));
  const text = await client.until(/\}$/);
  assert.match(text, /^HTTP\/1\.1 429 [\s\S]*retry-after: 1\r\n/i);
  assert.match(text, /"status":429/);
});

test("a sane request id of the client is kept, others are replaced, each answer has one", async (t) => {
  const { port } = await simpleServer(t);
  const client = new RawClient(t, port);
  for (const [given, kept] of [
    ["client-id-12345", true],
    ["short", false],
    ["has spaces in it", false],
    [`x${"y".repeat(64)}`, false],
    ['"><script>alert', false],
  ] as const) {
    client.forget();
    await client.write(get("/", `Roma-Request-Id: ${given}\r\n`));
    const id = /roma-request-id: (\S+)/i.exec(await client.until(/fine;/))?.[1];
    assert.ok(id);
    assert.equal(id === given, kept, given);
  }
});

test("unknown paths are a problem, and the connection stays", async (t) => {
  const { port } = await simpleServer(t);
  const client = new RawClient(t, port);
  await client.write(get("/nowhere"));
  assert.match(await client.until(/\}$/), /^HTTP\/1\.1 404 [\s\S]*problem\+json/);
  client.forget();
  await client.write(get("/"));
  await client.until(/fine;/);
});

test("odd content types are no business of the framework", async (t) => {
  const { port } = await simpleServer(t);
  const client = new RawClient(t, port);
  for (const type of ["application/json", "nonsense", "a/b; c", ";;;", "multipart/form-data"]) {
    client.forget();
    await client.write(
      `PUT / HTTP/1.1\r\nHost: a\r\nContent-Type: ${type}\r\nContent-Length: 3\r\n\r\n{x}`,
    );
    await client.until(/got 3;/);
  }
});

test("injected requests take the same path and leave nothing behind", async (t) => {
  const { app } = await simpleServer(t);
  const inject = (url: string) => app.inject({ method: "PUT", url, payload: "hello" });
  assert.equal((await inject("/")).body, "got 5;");
  assert.equal((await inject("/nowhere")).statusCode, 404);
  assert.equal((await inject("/%ZZ")).statusCode, 400);
  await eventually(() => app.httpRuntime.scopes.size === 0, "all ended");
});

test("slow headers end with 408", async (t) => {
  const { port } = await simpleServer(t, { headersMsMax: "200 ms" });
  const client = new RawClient(t, port);
  await client.write("GET / HTTP/1.1\r\nHost:");
  assert.match(await client.untilClosed(), /^HTTP\/1\.1 408 [\s\S]*headersMsMax/);
});

test("work over its limit is aborted and answered 503; a handler that ignores it is overtaken", async (t) => {
  let reason: unknown;
  const { port } = await startServer(
    t,
    (app) => {
      app.get("/polite", (request) => {
        const signal = requestSignal(request);
        return new Promise((_resolve, reject) => {
          signal.addEventListener("abort", () => {
            reason = signal.reason;
            reject(signal.reason);
          });
        });
      });
      app.get("/deaf", () => new Promise(() => undefined));
    },
    { config: { workMsMax: "200 ms" } },
  );
  for (const path of ["/polite", "/deaf"]) {
    const client = new RawClient(t, port);
    await client.write(get(path));
    const text = await client.until(/\}$/);
    assert.match(text, /^HTTP\/1\.1 503 [\s\S]*retry-after: /i);
    assert.match(text, /"limit":"workMsMax"/);
  }
  assert.ok(reason instanceof OperationalError);
});

test("the clock of the work stands still while a body flows, under the maximum of a transfer", async (t) => {
  const server = (config: object) =>
    startServer(
      t,
      (app) => {
        app.put("/", async (request, reply) => {
          for await (const _chunk of receiveBody(request, reply).body);
          return `${requestSignal(request).aborted};`;
        });
      },
      { config },
    );
  const slow = async (port: number): Promise<string> => {
    const client = new RawClient(t, port);
    await client.write("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n");
    for (let index = 0; index < 6 && client.text === ""; index++) {
      await client.write("x");
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    return client.until(/;|\}/);
  };
  const patient = await server({ workMsMax: "200 ms" });
  assert.match(await slow(patient.port), /false;/);
  const bounded = await server({ transferMsMax: "200 ms" });
  assert.match(await slow(bounded.port), /^HTTP\/1\.1 408 [\s\S]*transferMsMax/);
});

test("a slow body is the client's own time: the gateway's silence does not count it, Roma-Timeout does", async (t) => {
  const routes = (app: FastifyInstance): void => {
    app.put("/slow", async (request, reply) => {
      for await (const chunk of receiveBody(request, reply).body) assert(chunk.length > 0);
      return "received";
    });
    app.put("/silent", async (request) => {
      await once(requestSignal(request), "abort");
      throw requestSignal(request).reason;
    });
  };
  // Work alone would be over at the same moment.
  const config = { gatewayMsMax: "300 ms", workMsMax: "60 s" };
  const { port } = await startServer(t, routes, { config });
  const slowly = async (path: string, headers = ""): Promise<string> => {
    const client = new RawClient(t, port);
    await client.write(`PUT ${path} HTTP/1.1\r\nHost: x\r\n${headers}Content-Length: 6\r\n\r\n`);
    for (const byte of "slowly") {
      await client.write(byte);
      await new Promise((done) => setTimeout(done, 120));
    }
    return await client.until(/\r\n\r\n[\s\S]+/);
  };
  assert.match(await slowly("/slow"), /^HTTP\/1\.1 200 [\s\S]*received/);
  assert.match(await slowly("/slow", "Roma-Timeout: 300ms\r\n"), /^HTTP\/1\.1 503 /);
  assert.match(await slowly("/silent"), /^HTTP\/1\.1 503 [\s\S]*"limit":"gatewayMsMax"/);
});

test("a handler that ignores its end is overtaken before Roma-Timeout is over, and the outcome is not known", async (t) => {
  let nowMs = 0;
  const { port, app } = await startServer(
    t,
    (server) => {
      server.get("/deaf", () => new Promise(() => undefined));
    },
    { clock: { monotonicMs: () => nowMs } },
  );
  const client = new RawClient(t, port);
  await client.write("GET /deaf HTTP/1.1\r\nHost: x\r\nRoma-Timeout: 1 s\r\n\r\n");
  await eventually(() => app.httpRuntime.scopes.size === 1, "the request is there");
  // Nothing is left but the margin for the answer, and on the request's clock it stays so.
  nowMs = 900;
  const text = await client.until(/\r\n\r\n[\s\S]+/);
  assert.match(text, /^HTTP\/1\.1 503 [\s\S]*retry-after: [\s\S]*"outcome":"unknown"/i);
});

test("a client that leaves aborts the request's signal", async (t) => {
  let reason: unknown;
  const { port, app } = await startServer(t, (server) => {
    server.get("/", (request) => {
      const signal = requestSignal(request);
      return new Promise((resolve) => {
        signal.addEventListener("abort", () => {
          reason = signal.reason;
          resolve("late");
        });
      });
    });
  });
  const client = new RawClient(t, port);
  await client.write(get("/"));
  await eventually(() => app.httpRuntime.scopes.size === 1, "the request is there");
  client.socket.destroy();
  await eventually(() => reason !== undefined, "the signal was aborted");
  assert.ok(reason instanceof OperationalError && reason.code === "incomplete_body");
  await eventually(() => app.httpRuntime.scopes.size === 0, "the request ended");
});

test("closing lets requests in flight finish, refuses new connections, and aborts the rest", async (t) => {
  const gate = Promise.withResolvers<void>();
  const { port, app, close } = await startServer(t, (server) => {
    server.get("/soon", async (request) => {
      await gate.promise;
      requestSignal(request).throwIfAborted();
      return "fine;";
    });
    server.get("/never", (request) => {
      const signal = requestSignal(request);
      return new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason));
      });
    });
    server.get("/idle", async () => "idle;");
  });
  const [soon, never, idle] = [0, 1, 2].map(() => new RawClient(t, port)) as [
    RawClient,
    RawClient,
    RawClient,
  ];
  await idle.write(get("/idle"));
  await idle.until(/idle;/);
  await Promise.all([soon.write(get("/soon")), never.write(get("/never"))]);
  await eventually(() => app.httpRuntime.scopes.size === 2, "both requests are there");
  const closing = close(500);
  // In no time: a busy machine may need more than the drain has for what comes next.
  gate.resolve();
  await idle.untilClosed();
  await eventually(() => !app.server.listening, "nobody listens");
  const late = new RawClient(t, port);
  await late.untilClosed();
  assert.equal(late.error?.code, "ECONNREFUSED");
  assert.match(await soon.untilClosed(), /^HTTP\/1\.1 200 [\s\S]*connection: close[\s\S]*fine;/i);
  assert.match(await never.untilClosed(), /^HTTP\/1\.1 503 [\s\S]*the server is stopping/);
  await closing;
  assert.equal(app.httpRuntime.scopes.size, 0);
  assert.equal(app.httpRuntime.watch.size, 0);
});

test("closing cuts what does not react to its abort", async (t) => {
  const { port, app, close } = await startServer(t, (server) => {
    server.get("/deaf", async (_request, reply) => {
      reply.raw.writeHead(200);
      reply.raw.write("begun");
      await new Promise(() => undefined);
    });
  });
  const client = new RawClient(t, port);
  await client.write(get("/deaf"));
  await client.until(/begun/);
  await close(50);
  await client.untilClosed();
  await eventually(() => app.httpRuntime.scopes.size === 0, "the request ended");
});
