import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { type TestContext, test } from "node:test";
import { isOperationalError, type OperationalError } from "../core/errors.ts";
import { type ReceiveOptions, receiveBody, receiveBytes } from "./body.ts";
import { connectionsOf, eventually, RawClient, startServer } from "./testing.ts";

/** A server whose route reads the whole body and answers with its length. */
async function bodyServer(t: TestContext, options: ReceiveOptions = {}, config: object = {}) {
  const errors: unknown[] = [];
  let receivedBytes = 0;
  const server = await startServer(
    t,
    (app) => {
      app.put("/", async (request, reply) => {
        try {
          receivedBytes = 0;
          for await (const chunk of receiveBody(request, reply, options).body) {
            receivedBytes += chunk.length;
          }
        } catch (error) {
          errors.push(error);
          receivedBytes = 0;
          throw error;
        }
        return `got ${receivedBytes};`;
      });
    },
    { config },
  );
  return { ...server, errors, received: () => receivedBytes };
}

const put = (headers: string): string => `PUT / HTTP/1.1\r\nHost: a\r\n${headers}\r\n\r\n`;

test("a body arrives whole, with a length or in chunks, on one connection", async (t) => {
  const { port } = await bodyServer(t);
  const client = new RawClient(t, port);
  await client.write(`${put("Content-Length: 5")}hello`);
  await client.until(/got 5;/);
  await client.write(`${put("Transfer-Encoding: chunked")}3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n`);
  await client.until(/got 7;/);
  await client.write(put("Content-Length: 0"));
  await client.until(/got 0;/);
});

test("100 Continue is sent when the first chunk is pulled, and not before", async (t) => {
  const gate = Promise.withResolvers<void>();
  const server = await startServer(t, (app) => {
    app.put("/", async (request, reply) => {
      const { body } = receiveBody(request, reply);
      await gate.promise;
      let text = "";
      for await (const chunk of body) text += Buffer.from(chunk).toString();
      return `[${text}]`;
    });
  });
  const client = new RawClient(t, server.port);
  await client.write(put("Content-Length: 2\r\nExpect: 100-continue"));
  await eventually(() => server.app.httpRuntime.scopes.size === 1, "the request is there");
  assert.equal(client.text, "");
  gate.resolve();
  await client.until(/^HTTP\/1\.1 100 Continue\r\n\r\n$/);
  await client.write("ok");
  assert.match(await client.until(/\[ok\]/), /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK/);
});

test("a refusal before the first pull sends no 100 Continue, and closes", async (t) => {
  const { port } = await bodyServer(t, { bytesMax: 10, bytesMaxName: "maxObjectBytes" });
  const client = new RawClient(t, port);
  await client.write(put("Content-Length: 11\r\nExpect: 100-continue"));
  const text = await client.untilClosed();
  assert.match(text, /^HTTP\/1\.1 413 /);
  assert.match(text, /connection: close/i);
  assert.match(text, /"limit":"maxObjectBytes"/);
  assert.match(text, /"limitBytes":10/);
});

test("a body of unknown length is refused at the byte that crosses the limit", async (t) => {
  const { port, received } = await bodyServer(t, { bytesMax: 10 });
  const client = new RawClient(t, port);
  await client.write(`${put("Transfer-Encoding: chunked")}a\r\n0123456789\r\n`);
  await eventually(() => received() === 10, "ten bytes arrived");
  assert.equal(client.text, "");
  await client.write("1\r\nx\r\n");
  assert.match(await client.until(/\}$/), /^HTTP\/1\.1 413 /);
});

test("a Content-Encoding is refused, unless the protocol knows it", async (t) => {
  const strict = await bodyServer(t);
  const client = new RawClient(t, strict.port);
  await client.write(`${put("Content-Encoding: gzip\r\nContent-Length: 1")}x`);
  assert.match(await client.until(/\}$/), /"code":"unsupported"/);
  client.forget();
  await client.write(`${put("Content-Encoding: identity\r\nContent-Length: 1")}x`);
  await client.until(/got 1;/);

  const lenient = await bodyServer(t, { contentEncodings: ["aws-chunked"] });
  const other = new RawClient(t, lenient.port);
  await other.write(`${put("Content-Encoding: AWS-chunked\r\nContent-Length: 1")}x`);
  await other.until(/got 1;/);
});

test("more or fewer bytes than declared elsewhere are incomplete_body", async (t) => {
  const { port } = await bodyServer(t, { length: 4 });
  for (const [chunk, detail] of [
    ["5\r\nhello\r\n0\r\n\r\n", "more than the declared 4 bytes came"],
    ["3\r\nabc\r\n0\r\n\r\n", "3 of the declared 4 bytes came"],
  ] as const) {
    const client = new RawClient(t, port);
    await client.write(`${put("Transfer-Encoding: chunked")}${chunk}`);
    const text = await client.until(/\}$/);
    assert.match(text, /"code":"incomplete_body"/);
    assert.ok(text.includes(detail), text);
  }
  const client = new RawClient(t, port);
  await client.write(`${put("Content-Length: 5")}hello`);
  assert.match(await client.until(/\}$/), /Content-Length 5 differs from the declared length 4/);
});

test("a client that leaves makes the iterator throw at once, with its cause", async (t) => {
  const { port, errors, received } = await bodyServer(t);
  for (const leave of ["destroy", "resetAndDestroy"] as const) {
    const client = new RawClient(t, port);
    await client.write(`${put("Content-Length: 100")}0123456789`);
    await eventually(() => received() === 10, "ten bytes arrived");
    client.socket[leave]();
    await eventually(() => errors.length === 1, "the iterator threw");
    const error = errors.pop();
    assert.ok(isOperationalError(error, "incomplete_body"));
    assert.equal((error.cause as NodeJS.ErrnoException).code, "ECONNRESET");
  }
});

test("a client that stalls is ended after the idle time with request_timeout", async (t) => {
  const { port, errors } = await bodyServer(t, {}, { bodyIdleMsMax: "200 ms" });
  const client = new RawClient(t, port);
  await client.write(`${put("Content-Length: 100")}0123456789`);
  assert.match(await client.until(/\}$/), /^HTTP\/1\.1 408 [\s\S]*bodyIdleMsMax/);
  assert.ok(isOperationalError(errors[0], "request_timeout"));
});

test("a steady slow upload of ten minutes succeeds; a trickling one is ended", async (t) => {
  let nowMs = 0;
  let receivedBytes = 0;
  const server = await startServer(
    t,
    (app) => {
      app.put("/", async (request, reply) => {
        receivedBytes = 0;
        for await (const chunk of receiveBody(request, reply).body) receivedBytes += chunk.length;
        return `got ${receivedBytes};`;
      });
    },
    { clock: { monotonicMs: () => nowMs } },
  );
  const { watch } = server.app.httpRuntime;
  const upload = async (chunkBytes: number, everyMs: number, count: number) => {
    const client = new RawClient(t, server.port);
    await client.write(put(`Content-Length: ${chunkBytes * count}`));
    for (let sent = 1; sent <= count && client.text === ""; sent++) {
      await client.write(Buffer.alloc(chunkBytes));
      await eventually(() => receivedBytes === sent * chunkBytes || client.text !== "", "a chunk");
      nowMs += everyMs;
      watch.tick();
      // Lets an ended pull be answered before the next chunk is written.
      if (server.app.httpRuntime.scopes.size === 0)
        await eventually(() => client.text !== "", "an answer");
      await new Promise((resolve) => setImmediate(resolve));
    }
    return client.until(/;|\}$/);
  };
  assert.match(await upload(30 * 1024, 20_000, 30), /got 921600;/);
  assert.ok(nowMs >= 600_000);
  receivedBytes = 0;
  const trickled = await upload(100, 20_000, 30);
  assert.match(trickled, /^HTTP\/1\.1 408 [\s\S]*bodyBytesPerSecondMin/);
});

test("time in which nobody pulls is not held against the client", async (t) => {
  let nowMs = 0;
  const gate = Promise.withResolvers<void>();
  const server = await startServer(
    t,
    (app) => {
      app.put("/", async (request, reply) => {
        const pull = receiveBody(request, reply).body[Symbol.asyncIterator]();
        const first = await pull.next();
        await gate.promise;
        const second = await pull.next();
        const last = await pull.next();
        return `got ${first.value.length + second.value.length} ${last.done};`;
      });
    },
    { clock: { monotonicMs: () => nowMs } },
  );
  const client = new RawClient(t, server.port);
  await client.write(`${put("Content-Length: 10")}hello`);
  await eventually(() => server.app.httpRuntime.watch.size === 2, "the body is pulled");
  await client.write("world");
  await new Promise((resolve) => setTimeout(resolve, 30));
  nowMs += 3_600_000;
  server.app.httpRuntime.watch.tick();
  gate.resolve();
  await client.until(/got 10 true;/);
});

test("what came while this process stood still is read before the client is ended for its silence", async (t) => {
  let nowMs = 0;
  let receivedBytes = 0;
  const server = await startServer(
    t,
    (app) => {
      app.put("/", async (request, reply) => {
        for await (const chunk of receiveBody(request, reply).body) receivedBytes += chunk.length;
        return `got ${receivedBytes};`;
      });
    },
    { clock: { monotonicMs: () => nowMs } },
  );
  const client = new RawClient(t, server.port);
  await client.write(`${put("Content-Length: 10")}hello`);
  await eventually(() => receivedBytes === 5, "the first chunk");
  // What follows an immediate is the timers, and only then the sockets are looked at. The kernel has it at once.
  await new Promise((resolve) => setImmediate(resolve));
  client.socket.write("world");
  nowMs += 60_000;
  const since = performance.now();
  while (performance.now() - since < 100);
  await client.until(/got 10;/);
});

test("backpressure: a body that nobody pulls stays with the client", async (t) => {
  const pulled = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const total = 64 * 1024 * 1024;
  const server = await startServer(t, (app) => {
    app.put("/", async (request, reply) => {
      const pull = receiveBody(request, reply).body[Symbol.asyncIterator]();
      let count = (await pull.next()).value.length;
      pulled.resolve();
      await gate.promise;
      for (let next = await pull.next(); !next.done; next = await pull.next()) {
        count += next.value.length;
      }
      return `got ${count};`;
    });
  });
  const client = new RawClient(t, server.port);
  await client.write(put(`Content-Length: ${total}`));
  const written = client.write(Buffer.alloc(total));
  await pulled.promise;
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(await connectionsOf(server.app), 1);
  const [scope] = server.app.httpRuntime.scopes;
  assert.ok(scope !== undefined && scope.bytesRead < 2 * 1024 * 1024, `${scope?.bytesRead}`);
  gate.resolve();
  await written;
  await client.until(new RegExp(`got ${total};`));
});

test("whoever stops pulling early leaves the connection usable or closed, and nothing behind", async (t) => {
  const server = await startServer(
    t,
    (app) => {
      app.put("/", async (request, reply) => {
        for await (const chunk of receiveBody(request, reply).body) return `first ${chunk.length};`;
        return "none;";
      });
    },
    { config: { lingerMsMax: "60 s" } },
  );
  const client = new RawClient(t, server.port);
  await client.write(`${put("Content-Length: 10")}hello`);
  assert.match(await client.until(/first 5;/), /HTTP\/1\.1 200/);
  client.forget();
  await client.write(`world${put("Content-Length: 1")}x`);
  await client.until(/first 1;/);
  await eventually(() => server.app.httpRuntime.watch.size === 0, "nothing is watched");
});

test("an answer that overtakes the body ends the pull with an error, never as if whole", async (t) => {
  let thrown: unknown;
  const server = await startServer(t, (app) => {
    app.put("/", (request, reply) => {
      receiveBytes(request, reply, { bytesMax: 100 }).catch((error: OperationalError) => {
        thrown = error;
      });
      setTimeout(() => reply.send("early;"), 50);
    });
  });
  const client = new RawClient(t, server.port);
  await client.write(`${put("Content-Length: 10")}hello`);
  await client.until(/early;/);
  await client.write("world");
  await eventually(() => thrown !== undefined, "the pull failed");
  assert.ok(isOperationalError(thrown, "incomplete_body"));
});

test("100 requests on one connection leave no listener on the socket", async (t) => {
  const { port, app } = await bodyServer(t);
  const connected = once(app.server, "connection");
  const client = new RawClient(t, port);
  const [socket] = await connected;
  const counts = () =>
    socket
      .eventNames()
      .map((name: string) => `${name}:${socket.listenerCount(name)}`)
      .join();
  await client.write(`${put("Content-Length: 5")}hello`);
  await client.until(/got 5;/);
  const before = counts();
  for (let index = 0; index < 100; index++) {
    client.forget();
    await client.write(`${put("Content-Length: 5")}hello`);
    await client.until(/got 5;/);
  }
  assert.equal(counts(), before);
});

test("500 aborted uploads leave no descriptor, timer, scope or watch entry", async (t) => {
  const { port, app, errors } = await bodyServer(t);
  const handles = () => ({
    descriptors: readdirSync("/proc/self/fd").length,
    timers: process.getActiveResourcesInfo().filter((name) => name === "Timeout").length,
  });
  const warmUp = new RawClient(t, port);
  await warmUp.write(`${put("Content-Length: 5")}hello`);
  await warmUp.until(/got 5;/);
  const before = handles();
  for (let round = 0; round < 10; round++) {
    const clients = Array.from({ length: 50 }, () => new RawClient(t, port));
    await Promise.all(clients.map((client) => client.write(`${put("Content-Length: 99999")}abc`)));
    await eventually(() => app.httpRuntime.scopes.size === 50, "all uploads are there");
    for (const client of clients) client.socket.destroy();
    await eventually(() => app.httpRuntime.scopes.size === 0, "all uploads ended");
  }
  await eventually(() => errors.length === 500, "each threw");
  assert.equal(app.httpRuntime.watch.size, 0);
  await eventually(() => handles().descriptors <= before.descriptors, "descriptors are freed");
  // One timer may be that of this test's own polling.
  await eventually(() => handles().timers <= before.timers + 1, "timers are gone");
});

test("an append ended by the server is answered while the client still sends", async (t) => {
  const MiB = 1024 * 1024;
  const taken = Promise.withResolvers<"taken">();
  const server = await startServer(
    t,
    (app) => {
      app.patch("/", async (request, reply) => {
        const pull = receiveBody(request, reply).body[Symbol.asyncIterator]();
        let count = 0;
        // A pull is under way when another request takes the upload over.
        for (;;) {
          const next = await Promise.race([pull.next(), taken.promise]);
          if (next === "taken" || next.done) break;
          count += next.value.length;
        }
        await pull.return?.();
        assert.equal((await pull.next()).done, true);
        return reply.code(409).send(`kept ${count};`);
      });
    },
    // Not what ends the client's sending here, however slow the machine is.
    { config: { lingerMsMax: "60 s" } },
  );
  const client = new RawClient(t, server.port);
  const length = 40 * MiB;
  await client.write(`PATCH / HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n`);
  await client.write(Buffer.alloc(4 * MiB));
  taken.resolve("taken");
  // Like many clients: no reading before all is written.
  client.socket.pause();
  await client.write(Buffer.alloc(length - 4 * MiB));
  client.socket.resume();
  assert.match(await client.untilClosed(), /^HTTP\/1\.1 409 [\s\S]*kept \d+;$/);
  assert.equal(client.error, undefined);
  await eventually(() => server.app.httpRuntime.scopes.size === 0, "the request ended");
  assert.equal(server.app.httpRuntime.watch.size, 0);
});

test("what came before the client left can still be pulled, and then the reason comes", async (t) => {
  const gate = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<string>();
  const server = await startServer(t, (app) => {
    app.put("/", async (request, reply) => {
      const pull = receiveBody(request, reply).body[Symbol.asyncIterator]();
      let text = "";
      try {
        for (let next = await pull.next(); !next.done; next = await pull.next()) {
          text += Buffer.from(next.value).toString();
          await gate.promise;
        }
        ended.resolve(`${text} and no reason`);
      } catch (error) {
        ended.resolve(`${text} ${isOperationalError(error) ? error.code : String(error)}`);
      }
    });
  });
  const client = new RawClient(t, server.port);
  await client.write(`${put("Content-Length: 100")}hello `);
  await eventually(() => server.app.httpRuntime.watch.size === 2, "the body is pulled");
  const [scope] = server.app.httpRuntime.scopes;
  const before = scope?.bytesRead ?? 0;
  await client.write("world");
  await eventually(() => (scope?.bytesRead ?? 0) >= before + 5, "the second chunk came");
  client.socket.resetAndDestroy();
  await eventually(() => scope?.signal.aborted === true, "the client has left");
  gate.resolve();
  assert.equal(await ended.promise, "hello world incomplete_body");
});

test("trailers are there when the body has ended", async (t) => {
  const server = await startServer(t, (app) => {
    app.patch("/", async (request, reply) => {
      const early = Object.keys(request.raw.trailers).length;
      const bytes = await receiveBytes(request, reply, { bytesMax: 100 });
      return `${bytes} ${early} ${request.raw.trailers["upload-checksum"]};`;
    });
  });
  const client = new RawClient(t, server.port);
  const head = "PATCH / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n";
  await client.write(`${head}Trailer: Upload-Checksum\r\n\r\n3\r\nabc\r\n`);
  await client.write("0\r\nUpload-Checksum: sha1 qZk+NkcGgWq6PiVxeFDCbJzQ2J0=\r\n\r\n");
  await client.until(/abc 0 sha1 qZk\+NkcGgWq6PiVxeFDCbJzQ2J0=;$/);
  // Announced, and lost on the way.
  client.forget();
  await client.write(`${head}Trailer: Upload-Checksum\r\n\r\n3\r\nabc\r\n0\r\n\r\n`);
  await client.until(/abc 0 undefined;$/);
});

test("no method and no content type makes the framework touch a body", async (t) => {
  const server = await startServer(t, (app) => {
    app.route({
      method: ["PATCH", "POST", "PUT", "DELETE", "OPTIONS"],
      url: "/",
      handler: async (request, reply) => {
        assert.equal(request.body, undefined);
        const bytes = await receiveBytes(request, reply, { bytesMax: 100 });
        return `${request.method} ${bytes};`;
      },
    });
  });
  const types = [
    ...["application/offset+octet-stream", "application/partial-upload", "application/json"],
    ...["multipart/form-data; boundary=x", "text/plain", "no type at all", ";;;", "", undefined],
  ];
  const client = new RawClient(t, server.port);
  for (const method of ["PATCH", "POST", "PUT", "DELETE", "OPTIONS"]) {
    for (const type of types) {
      client.forget();
      const field = type === undefined ? "" : `Content-Type: ${type}\r\n`;
      await client.write(
        `${method} / HTTP/1.1\r\nHost: a\r\n${field}Content-Length: 7\r\n\r\n{"a":b]`,
      );
      const text = await client.until(/;$/);
      assert.ok(text.endsWith(`${method} {"a":b];`), `${type}: ${text}`);
    }
  }
});

test("headers as large as tus metadata get are taken; larger ones are refused by name", async (t) => {
  const { port } = await bodyServer(t);
  const client = new RawClient(t, port);
  await client.write(`${put(`Upload-Metadata: a ${"x".repeat(28_000)}\r\nContent-Length: 1`)}x`);
  await client.until(/got 1;/);
  client.forget();
  await client.write(put(`Upload-Metadata: a ${"x".repeat(40_000)}`));
  assert.match(await client.untilClosed(), /^HTTP\/1\.1 431 [\s\S]*headerBytesMax/);
});
