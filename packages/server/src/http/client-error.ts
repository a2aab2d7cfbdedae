/**
 * What Node's parser refuses: answered with a minimal problem document where no response is under
 * way, and the connection is closed after it. Nothing that follows a parse error is ever read as a
 * request.
 */
import type { Socket } from "node:net";
import type { ErrorCode } from "@roma/contract";
import { OperationalError } from "../core/errors.ts";
import type { HttpRuntime } from "./deadline.ts";
import { clientLeft } from "./deadline.ts";
import { problemContentType, problemDocument } from "./problem.ts";
import type { Watched } from "./watch.ts";

interface Refusal {
  readonly status: number;
  readonly title: string;
  readonly code: ErrorCode;
  readonly detail: string;
}

const malformed: Refusal = {
  status: 400,
  title: "Bad Request",
  code: "invalid_request",
  detail: "the request is not well-formed HTTP/1.1",
};

const refusals: Readonly<Record<string, Refusal>> = {
  HPE_HEADER_OVERFLOW: {
    status: 431,
    title: "Request Header Fields Too Large",
    code: "too_large",
    detail: "the headers are larger than the limit of headerBytesMax",
  },
  HPE_CHUNK_EXTENSIONS_OVERFLOW: {
    status: 413,
    title: "Content Too Large",
    code: "too_large",
    detail: "the chunk extensions are too large",
  },
  ERR_HTTP_REQUEST_TIMEOUT: {
    status: 408,
    title: "Request Timeout",
    code: "request_timeout",
    detail: "the headers did not come within headersMsMax",
  },
};

/** Bytes and time for what a client still sends after it was refused. */
const lingerBytesMax = 1024 * 1024;
const lingerMsMax = 2000;

/** Listens to `clientError`. */
export function clientErrorListener(runtime: HttpRuntime) {
  const refused = new WeakSet<Socket>();
  return (error: NodeJS.ErrnoException, socket: Socket): void => {
    // While we linger the parser complains about every further chunk.
    if (refused.has(socket)) return;
    refused.add(socket);
    if (error.code === "ECONNRESET" || !socket.writable) {
      socket.destroy();
      return;
    }
    const scope = runtime.newest.get(socket);
    const busy = scope !== undefined && !scope.ended;
    if (error.code === "HPE_INVALID_EOF_STATE") {
      // The client closed its side in the middle of a request; it may still listen for an answer.
      if (!busy || scope.received) {
        socket.end();
        return;
      }
      scope.inputEnded = true;
      scope.closeAfter();
      scope.abort(clientLeft());
      return;
    }
    const refusal = refusals[error.code ?? ""] ?? malformed;
    runtime.log.debug({ reason: error.code }, "request refused by the parser");
    if (busy) {
      // Either junk after a request that is still being worked on, or broken framing inside its
      // body. The answer to it comes first, and is the last one.
      scope.closeAfter();
      if (!scope.received) scope.abort(new OperationalError(refusal.code, refusal.detail));
      return;
    }
    socket.end(answer(refusal, runtime));
    new SocketLinger(socket, runtime);
  };
}

function answer({ status, title, code, detail }: Refusal, { cors }: HttpRuntime): string {
  const error = new OperationalError(code, detail);
  const body = JSON.stringify(problemDocument(error, { status, title, requestId: "" }));
  return [
    `HTTP/1.1 ${status} ${title}`,
    "Connection: close",
    `Content-Type: ${problemContentType}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...(cors.allowsAny ? ["Access-Control-Allow-Origin: *"] : []),
    "",
    body,
  ].join("\r\n");
}

/** Keeps reading for a moment, so that the answer is not overtaken by a reset. */
class SocketLinger implements Watched {
  readonly #socket: Socket;
  readonly #bytesReadMax: number;
  readonly #untilMs: number;

  constructor(socket: Socket, { watch }: HttpRuntime) {
    this.#socket = socket;
    this.#bytesReadMax = socket.bytesRead + lingerBytesMax;
    this.#untilMs = watch.clock.monotonicMs() + lingerMsMax;
    watch.add(this);
    socket.once("close", () => watch.delete(this));
    socket.resume();
  }

  check(nowMs: number): void {
    const over = this.#socket.bytesRead > this.#bytesReadMax || nowMs >= this.#untilMs;
    if (over) this.#socket.destroy();
  }
}
