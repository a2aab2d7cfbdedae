/**
 * Streams an answer whose length nobody knows: pulled as fast as the client takes it, cut where it fails after
 * its beginning, so that it never ends as if it were whole.
 */
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { FastifyReply, FastifyRequest } from "fastify";
import { isOperationalError, OperationalError } from "../core/errors.ts";
import { requestScope } from "./deadline.ts";

/**
 * Resolves when it has gone out or was cut. Throws only what the first chunk throws, before any header is
 * sent, so that it is answered like any other error.
 */
export async function sendLines(
  request: FastifyRequest,
  reply: FastifyReply,
  chunks: AsyncGenerator<string, void, undefined>,
  { contentType }: { readonly contentType: string },
): Promise<void> {
  const scope = requestScope(request);
  const first = await chunks.next();
  scope.signal.throwIfAborted();
  reply.headers({
    "content-type": contentType,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
  });
  if (scope.runtime.phase !== "accepting") reply.header("connection", "close");
  const { raw } = reply;
  raw.writeHead(200, reply.getHeaders() as Record<string, string>);
  reply.hijack();
  if (request.method === "HEAD") {
    raw.end();
    await chunks.return();
    return;
  }
  const onTimeout = (): void => {
    raw.destroy(new OperationalError("request_timeout", "the client took no byte for too long"));
  };
  raw.setTimeout(scope.runtime.config.readerIdleMsMax, onTimeout);
  scope.beginTransfer();
  try {
    const all = async function* (): AsyncGenerator<Buffer> {
      if (!first.done && first.value !== "") yield Buffer.from(first.value);
      for await (const chunk of chunks) if (chunk !== "") yield Buffer.from(chunk);
    };
    await pipeline(Readable.from(all()), raw, { signal: scope.signal });
  } catch (error) {
    const fields = { requestId: request.id, err: error };
    if (isOperationalError(scope.signal.reason, "incomplete_body")) {
      scope.runtime.log.debug(fields, "the client left in the middle of a response");
    } else {
      scope.runtime.log.error(fields, "a response was cut");
    }
    raw.destroy();
  } finally {
    raw.off("timeout", onTimeout);
    scope.endTransfer();
  }
}
