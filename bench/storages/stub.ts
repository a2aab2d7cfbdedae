// How does a server fare when its storage is slow, or never answers? A storage that speaks as much S3 as
// Roma's driver needs: it waits before it takes a long body, and after SIGUSR2 it takes everything and
// answers nothing but `/-/open`, what its connections ask for. It keeps the length and the MD5 of long bodies and the bytes of short ones only.

import { createHash, randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { setTimeout as pause } from "node:timers/promises";

interface Stored {
  readonly length: number;
  readonly md5: Buffer;
  readonly etag: string;
  readonly bytes: Buffer | undefined;
}

/** What is shorter is neither delayed nor forgotten. */
const longBytesMin = 1024 * 1024;
const waitMs = Number(process.argv[2] ?? 0);
const objects = new Map<string, Stored>();
const uploads = new Map<string, Map<number, Stored>>();
/** By the port of the other side: the path of the last request of each connection. */
const open = new Map<number, string>();
let silent = false;

async function receive(request: IncomingMessage): Promise<Stored> {
  const length = Number(request.headers["content-length"] ?? 0);
  const isLong = length >= longBytesMin;
  if (isLong) await pause(waitMs);
  const hash = createHash("md5");
  const kept: Buffer[] = [];
  for await (const chunk of request) {
    hash.update(chunk);
    if (!isLong) kept.push(chunk);
  }
  const md5 = hash.digest();
  return {
    length,
    md5,
    etag: md5.toString("hex"),
    bytes: isLong ? undefined : Buffer.concat(kept),
  };
}

function complete(parts: ReadonlyMap<number, Stored>): Stored {
  const sorted = [...parts].sort(([a], [b]) => a - b).map(([, part]) => part);
  const md5 = createHash("md5")
    .update(Buffer.concat(sorted.map((part) => part.md5)))
    .digest();
  const length = sorted.reduce((sum, part) => sum + part.length, 0);
  return { length, md5, etag: `${md5.toString("hex")}-${sorted.length}`, bytes: undefined };
}

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname, searchParams } = new URL(request.url ?? "/", "http://stub");
  if (pathname === "/-/open") return answer(response, 200, { text: JSON.stringify([...open]) });
  open.set(request.socket.remotePort ?? 0, pathname);
  if (silent) return void request.resume();
  const uploadId = searchParams.get("uploadId") ?? "";
  const told = ({ etag }: Stored) => ({ etag: `"${etag}"` });
  switch (request.method) {
    case "PUT": {
      const stored = await receive(request);
      if (silent) return;
      if (uploadId === "") objects.set(pathname, stored);
      else uploads.get(uploadId)?.set(Number(searchParams.get("partNumber")), stored);
      return answer(response, 200, { headers: told(stored) });
    }
    case "POST": {
      await receive(request);
      if (uploadId === "") {
        const id = randomUUID();
        uploads.set(id, new Map());
        return answer(response, 200, {
          text: `<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`,
        });
      }
      const stored = complete(uploads.get(uploadId) ?? new Map());
      objects.set(pathname, stored);
      return answer(response, 200, {
        text: `<CompleteMultipartUploadResult><ETag>"${stored.etag}"</ETag></CompleteMultipartUploadResult>`,
      });
    }
    case "DELETE":
      if (uploadId === "") objects.delete(pathname);
      else uploads.delete(uploadId);
      return answer(response, 204);
    default: {
      if (pathname.split("/").filter(Boolean).length === 1) {
        // Lists are empty: who looks for what nobody needs finds nothing.
        const root = searchParams.has("uploads")
          ? "ListMultipartUploadsResult"
          : "ListBucketResult";
        const text = `<${root}><IsTruncated>false</IsTruncated></${root}>`;
        return answer(response, 200, request.method === "HEAD" ? {} : { text });
      }
      const stored = objects.get(pathname);
      if (stored === undefined) return answer(response, 404);
      const headers = { ...told(stored), "last-modified": new Date().toUTCString() };
      if (request.method === "HEAD") {
        return answer(response, 200, {
          headers: { ...headers, "content-length": String(stored.length) },
        });
      }
      return answer(response, 200, { headers, text: stored.bytes ?? "" });
    }
  }
}

function answer(
  response: ServerResponse,
  status: number,
  {
    headers = {},
    text = "",
  }: { readonly headers?: Record<string, string>; readonly text?: string | Buffer } = {},
): void {
  const length = status === 204 ? {} : { "content-length": String(Buffer.byteLength(text)) };
  response.writeHead(status, { ...length, ...headers }).end(text);
}

process.on("SIGUSR2", () => {
  silent = true;
});
const server = createServer((request, response) => {
  request.on("error", () => undefined);
  serve(request, response).catch(() => response.destroy());
});
server.on("connection", (socket) => {
  const { remotePort = 0 } = socket;
  socket.once("close", () => open.delete(remotePort));
});
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("no port");
  process.stdout.write(`listening on http://127.0.0.1:${address.port}\n`);
});
