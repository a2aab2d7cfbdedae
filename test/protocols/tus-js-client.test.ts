// The client that most of the web uses, against a whole server: what it does by itself, the server takes.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { connect, createServer, type Socket } from "node:net";
import { Readable } from "node:stream";
import { type TestContext, test } from "node:test";
import { Upload, type UploadOptions } from "tus-js-client";
import {
  rootAuthorization,
  startTus,
  type TusServer,
} from "../../packages/server/src/protocols/tus/testing.ts";

const MiB = 1024 * 1024;

interface Done {
  readonly upload: Upload;
  /** Of the last answer. */
  readonly object: string | undefined;
}

/** Runs until it succeeds; what the client gives up for rejects. */
function finished(
  input: ConstructorParameters<typeof Upload>[0],
  endpoint: string,
  options: Partial<UploadOptions>,
): { readonly upload: Upload; readonly done: Promise<Done> } {
  const { promise, resolve, reject } = Promise.withResolvers<Done>();
  const upload = new Upload(input, {
    endpoint,
    headers: { authorization: rootAuthorization },
    retryDelays: [0, 100, 500, 1000],
    onError: reject,
    onSuccess: ({ lastResponse }) =>
      resolve({ upload, object: lastResponse.getHeader("Roma-Object") }),
    ...options,
  });
  return { upload, done: promise };
}

async function stored(tus: TusServer, key: string): Promise<Buffer> {
  const answered = await tus.object(key);
  assert.equal(answered.status, 200, answered.text.slice(0, 200));
  return answered.body;
}

test("tus-js-client: in one request, in chunks, by POST alone, and with the bytes in the creation", async (t) => {
  const tus = await startTus(t);
  const bytes = randomBytes(3 * MiB + 17);
  const ways: Readonly<Record<string, Partial<UploadOptions>>> = {
    "one request": {},
    chunks: { chunkSize: MiB },
    "POST alone": { chunkSize: MiB, overridePatchMethod: true },
    "in the creation": { uploadDataDuringCreation: true },
    "in the creation, in chunks": { uploadDataDuringCreation: true, chunkSize: MiB },
  };
  for (const [key, options] of Object.entries(ways)) {
    const metadata = { key, filetype: "application/x-test" };
    const { upload, done } = finished(bytes, `${tus.url}/tus/demo/`, { metadata, ...options });
    upload.start();
    const { object } = await done;
    assert.equal(object, `${tus.url}/v1/objects/demo/${encodeURIComponent(key)}`, key);
    assert.ok(bytes.equals(await stored(tus, key)), key);
  }
});

test("tus-js-client: parallel uploads are joined to one object", async (t) => {
  const tus = await startTus(t);
  const bytes = randomBytes(2 * MiB + 5);
  const metadata = { key: "joined", filename: "joined.bin" };
  const { upload, done } = finished(bytes, `${tus.url}/tus/demo`, { metadata, parallelUploads: 4 });
  upload.start();
  await done;
  assert.ok(bytes.equals(await stored(tus, "joined")));
});

test("tus-js-client: a stream whose length is told at its end", async (t) => {
  const tus = await startTus(t);
  const bytes = randomBytes(MiB + 3);
  const pieces = Array.from({ length: 9 }, (_, at) =>
    bytes.subarray(at * 128 * 1024, (at + 1) * 128 * 1024),
  );
  const { upload, done } = finished(Readable.from(pieces), `${tus.url}/tus/demo`, {
    metadata: { key: "streamed" },
    uploadLengthDeferred: true,
    chunkSize: 300_000,
  });
  upload.start();
  await done;
  assert.ok(bytes.equals(await stored(tus, "streamed")));
});

test("tus-js-client: connections that break cost what was in flight, and the file is whole", async (t) => {
  const tus = await startTus(t);
  const bytes = randomBytes(8 * MiB);
  const proxy = await breakingProxy(t, { port: tus.port, everyBytes: 3 * MiB });
  const { upload, done } = finished(bytes, `http://127.0.0.1:${proxy.port}/tus/demo`, {
    metadata: { key: "broken" },
  });
  upload.start();
  await done;
  assert.ok(proxy.breaks() >= 2, `${proxy.breaks()} breaks`);
  assert.ok(bytes.equals(await stored(tus, "broken")));
});

test("tus-js-client: paused, resumed by another client from its URL, and terminated", async (t) => {
  const tus = await startTus(t);
  const bytes = randomBytes(4 * MiB);
  const paused = Promise.withResolvers<void>();
  const first = finished(bytes, `${tus.url}/tus/demo`, {
    metadata: { key: "paused" },
    chunkSize: MiB,
    onChunkComplete: (_size, accepted) => {
      if (accepted < 2 * MiB) return;
      void first.upload.abort().then(paused.resolve, paused.reject);
    },
  });
  first.upload.start();
  await paused.promise;
  const { url } = first.upload;
  assert.ok(url);
  const second = finished(bytes, "", { endpoint: null, uploadUrl: url });
  second.upload.start();
  await second.done;
  assert.ok(bytes.equals(await stored(tus, "paused")));
  await Upload.terminate(url, { headers: { authorization: rootAuthorization } });
  assert.equal((await tus.call("GET", url)).status, 404);
  assert.ok(bytes.equals(await stored(tus, "paused")));
});

/** Resets each connection once so many bytes went through it. */
async function breakingProxy(
  t: TestContext,
  options: { readonly port: number; readonly everyBytes: number },
): Promise<{ readonly port: number; readonly breaks: () => number }> {
  let breaks = 0;
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect({ port: options.port, host: "127.0.0.1" });
    let bytes = 0;
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.on("error", () => other.destroy());
      socket.on("close", () => other.destroy());
    }
    upstream.pipe(client);
    client.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > options.everyBytes) {
        breaks += 1;
        client.resetAndDestroy();
        // What was sent on arrives; a reset would take back what the server has not read yet.
        upstream.destroySoon();
      } else if (!upstream.write(chunk)) {
        client.pause();
        upstream.once("drain", () => client.resume());
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return { port: address.port, breaks: () => breaks };
}
