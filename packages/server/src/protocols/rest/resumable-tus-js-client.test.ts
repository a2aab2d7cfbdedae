/** A client that we did not write: tus-js-client speaks interop versions 5 and 6. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { connect, createServer, type Socket } from "node:net";
import { Readable } from "node:stream";
import { type TestContext, test } from "node:test";
import { Upload, type UploadOptions } from "tus-js-client";
import { basic, type RestServer, startRest } from "./testing.ts";

const protocols = ["ietf-draft-03", "ietf-draft-05"] as const;
const bytes = randomBytes(3_000_000);

async function started(t: TestContext): Promise<RestServer> {
  const server = await startRest(t, { http: { uploadResumptionSupported: true } });
  await server.call("PUT", "/v1/buckets/b");
  return server;
}

/** The types of the package do not know its option. */
type Options = UploadOptions & { readonly protocol: (typeof protocols)[number] };

/** Resolves with the upload once the client holds it for done. */
function send(
  { url, key }: RestServer,
  source: Buffer | Readable,
  options: Options,
): Promise<Upload> {
  return new Promise((resolve, reject) => {
    const all: Options = {
      endpoint: `${url}/v1/objects/b?key=file`,
      headers: { Authorization: basic(key) },
      retryDelays: [0, 50, 100, 200],
      onError: reject,
      onSuccess: () => resolve(upload),
      ...options,
    };
    const upload = new Upload(source, all);
    upload.start();
  });
}

async function assertStored({ call }: RestServer, expected: Buffer): Promise<void> {
  const { status, body } = await call("GET", "/v1/objects/b/file");
  assert.equal(status, 200);
  assert.ok(body.equals(expected), `${body.length} bytes`);
}

for (const protocol of protocols) {
  const ways: readonly (readonly [string, UploadOptions])[] = [
    ["in one PATCH", {}],
    ["in pieces", { chunkSize: 700_000 }],
    ["with the creation", { uploadDataDuringCreation: true }],
    ["in pieces, the first with the creation", { uploadDataDuringCreation: true, chunkSize: 1e6 }],
  ];
  for (const [name, options] of ways) {
    test(`tus-js-client, ${protocol}: ${name}`, async (t) => {
      const server = await started(t);
      await send(server, bytes, { protocol, ...options });
      await assertStored(server, bytes);
    });
  }

  test(`tus-js-client, ${protocol}: a stream of unknown length`, async (t) => {
    const server = await started(t);
    // Of a stream that ends on the edge of a piece this version never learns that it has ended.
    const options = { protocol, uploadLengthDeferred: true, chunkSize: 700_000 };
    await send(server, Readable.from(bytes, { objectMode: false }), options);
    await assertStored(server, bytes);
  });

  test(`tus-js-client, ${protocol}: an empty file`, async (t) => {
    const server = await started(t);
    await send(server, Buffer.alloc(0), { protocol });
    await assertStored(server, Buffer.alloc(0));
  });

  test(`tus-js-client, ${protocol}: goes on after its connection was reset, again and again`, async (t) => {
    const server = await started(t);
    const proxy = await cuttingProxy(t, { port: server.port, cuts: [400_000, 900_000, 700_000] });
    let creations = 0;
    await send(server, bytes, {
      protocol,
      endpoint: `${proxy.url}/v1/objects/b?key=file`,
      onBeforeRequest: (request) => {
        if (request.getMethod() === "POST") creations += 1;
      },
    });
    assert.equal(proxy.cuts(), 3);
    assert.equal(creations, 1, "it never began anew");
    await assertStored(server, bytes);
  });

  test(`tus-js-client, ${protocol}: goes on in another client by the upload's address`, async (t) => {
    const server = await started(t);
    const address = await new Promise<string>((resolve, reject) => {
      const options: Options = {
        endpoint: `${server.url}/v1/objects/b?key=file`,
        headers: { Authorization: basic(server.key) },
        protocol,
        chunkSize: 1_000_000,
        onError: reject,
        onChunkComplete: () => {
          void upload.abort().then(() => resolve(upload.url ?? ""));
        },
      };
      const upload = new Upload(bytes, options);
      upload.start();
    });
    const offsets: string[] = [];
    await send(server, bytes, {
      protocol,
      uploadUrl: address,
      onBeforeRequest: (request) => {
        if (request.getMethod() === "PATCH") offsets.push(request.getHeader("Upload-Offset") ?? "");
      },
    });
    assert.deepEqual(offsets, ["1000000"]);
    await assertStored(server, bytes);
  });
}

/** Resets a connection once so many bytes came from the client, for each of the cuts in turn. */
async function cuttingProxy(
  t: TestContext,
  { port, cuts }: { readonly port: number; readonly cuts: readonly number[] },
) {
  const waiting = [...cuts];
  const sockets = new Set<Socket>();
  const proxy = createServer((client) => {
    const server = connect({ port, host: "127.0.0.1" });
    for (const socket of [client, server]) {
      sockets.add(socket);
      socket.on("error", () => undefined);
    }
    let passed = 0;
    client.on("data", (chunk: Buffer) => {
      passed += chunk.length;
      server.write(chunk);
      const [cut] = waiting;
      if (cut === undefined || passed < cut) return;
      waiting.shift();
      client.resetAndDestroy();
      server.resetAndDestroy();
    });
    server.pipe(client);
    client.on("close", () => server.destroy());
    server.on("close", () => client.destroy());
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    proxy.close();
  });
  const address = proxy.address();
  const at = typeof address === "object" && address !== null ? address.port : 0;
  return { url: `http://127.0.0.1:${at}`, cuts: () => cuts.length - waiting.length };
}
