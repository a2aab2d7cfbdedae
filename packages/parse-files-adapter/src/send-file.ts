/**
 * Answers a request of a client of parse-server with a file, or a range of it: read only as fast as the client
 * takes it, and broken off rather than ended when bytes are missing.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type Address, isRomaError, type ObjectHead, type Roma } from "@roma/sdk/node";
import { type Wanted, wantedBytes } from "./ranges.ts";

export interface Exchange {
  readonly request: IncomingMessage;
  /** May have headers already; they are kept. */
  readonly response: ServerResponse;
  /** What parse-server takes the file for, by its name. */
  readonly contentType?: string | null | undefined;
}

/** Resolves when the answer is over, however it ended; rejects with `object_not_found` before it began. */
export async function sendFile(roma: Roma, address: Address, exchange: Exchange): Promise<void> {
  const { response } = exchange;
  const closed = new AbortController();
  response.once("close", () => closed.abort());
  try {
    await answer(roma, address, { ...exchange, signal: closed.signal });
  } catch (error) {
    if (response.headersSent) response.destroy();
    else if (isRomaError(error, "object_not_found")) throw error;
    else refuse(response);
  }
}

async function answer(
  roma: Roma,
  address: Address,
  exchange: Exchange & { readonly signal: AbortSignal },
): Promise<void> {
  const { request, response, signal } = exchange;
  const head = await roma.stat(address, { signal });
  const { size, etag, lastModified } = head;
  if (size === null) throw new Error("the server told no size");
  const wanted = wantedBytes(request.headers, { size, etag, lastModified });
  if (wanted.kind === "unsatisfiable" || request.method === "HEAD") {
    writeHead(exchange, head, { wanted, size });
    response.end();
    return;
  }
  const download = await roma.download(address, {
    ...(wanted.kind === "range" ? { range: wanted } : {}),
    ...(etag === null ? {} : { ifMatch: etag }),
    // Ranges ahead of the reader would be held in memory.
    parallel: 1,
    signal,
  });
  writeHead(exchange, head, { wanted, size });
  await pipeline(Readable.from(download.body, { highWaterMark: 1 }), response);
}

function writeHead(
  { response, contentType }: Exchange,
  head: ObjectHead,
  { wanted, size }: { readonly wanted: Wanted; readonly size: number },
): void {
  response.setHeader("accept-ranges", "bytes");
  if (head.etag !== null) response.setHeader("etag", head.etag);
  if (head.lastModified !== null) response.setHeader("last-modified", head.lastModified);
  if (wanted.kind === "unsatisfiable") {
    response.statusCode = 416;
    response.setHeader("content-range", `bytes */${size}`);
    response.setHeader("content-length", 0);
    return;
  }
  response.setHeader("content-type", contentType || head.contentType || "application/octet-stream");
  if (wanted.kind === "whole") {
    response.statusCode = 200;
    response.setHeader("content-length", size);
    return;
  }
  const { first, last } = wanted;
  response.statusCode = 206;
  response.setHeader("content-range", `bytes ${first}-${last}/${size}`);
  response.setHeader("content-length", last - first + 1);
}

/** The server cannot be reached, or refused: not the same as "there is no such file". */
function refuse(response: ServerResponse): void {
  response.statusCode = 503;
  response.setHeader("content-type", "text/plain");
  response.setHeader("retry-after", "5");
  response.end("The file cannot be read now.");
}
