// How little can a client cost? One request at a time over a raw socket: one buffer that every read
// uses again, the head looked at once, the body counted. Node's own HTTP client would be the
// bottleneck of these measurements.

import { connect, type Socket } from "node:net";

export interface Answer {
  readonly status: number;
  /** Status line and header lines. */
  readonly head: string;
  readonly bodyBytes: number;
  /** Only when `keepBody` was asked for; of a chunked one with the sizes of its chunks. */
  readonly body: Buffer | undefined;
}

export interface Request {
  /** Request line and header lines, each with its CRLF, and the empty line. */
  readonly head: string;
  readonly body?: Buffer;
  /** Sends `body` as often as needed to make this many bytes. */
  readonly bodyBytes?: number;
  /** Sends the body no faster. */
  readonly bytesPerSecond?: number | undefined;
  readonly keepBody?: boolean;
}

interface Pending {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
  readonly kept: Buffer[] | undefined;
}

const headBytesMax = 64 * 1024;
const paceMs = 50;
/** The end of a chunked body, and all there is of an empty one. */
const lastChunk = Buffer.from("0\r\n\r\n");

export class Connection implements Disposable {
  readonly #socket: Socket;
  #pending: Pending | undefined;
  #head = "";
  #status = 0;
  #bodyLeft = -1;
  #bodyBytes = 0;
  /** The last bytes of a chunked body, whose end only they show. */
  #chunkedTail: Buffer | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
  }

  static open(
    at: { readonly host: string; readonly port: number },
    { readBytes }: { readonly readBytes: number },
  ): Promise<Connection> {
    const opened = Promise.withResolvers<Connection>();
    const socket = connect({
      ...at,
      noDelay: true,
      onread: {
        buffer: Buffer.allocUnsafe(readBytes),
        callback: (count, buffer) => {
          connection.#take(buffer, count);
          return true;
        },
      },
    });
    const connection = new Connection(socket);
    socket.once("connect", () => opened.resolve(connection));
    socket.on("error", (error) => {
      opened.reject(error);
      connection.#fail(error);
    });
    socket.on("close", () => connection.#fail(new Error("the server closed the connection")));
    return opened.promise;
  }

  /** Resolves when the whole answer has come. Rejects on a status other than 2xx. */
  send(request: Request): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    this.#pending = { resolve, reject, kept: request.keepBody === true ? [] : undefined };
    this.#head = "";
    this.#status = 0;
    this.#bodyLeft = -1;
    this.#bodyBytes = 0;
    this.#chunkedTail = undefined;
    const { body } = request;
    if (body === undefined) {
      this.#socket.write(request.head, "latin1");
    } else {
      this.#socket.cork();
      this.#socket.write(request.head, "latin1");
      const bytes = request.bodyBytes ?? body.length;
      if (request.bytesPerSecond === undefined) this.#writeBody(body, bytes);
      else this.#writePaced(body, { bytes, bytesPerSecond: request.bytesPerSecond });
      this.#socket.uncork();
    }
    return promise;
  }

  [Symbol.dispose](): void {
    this.#pending = undefined;
    this.#socket.destroy();
  }

  #writeBody(body: Buffer, bytes: number): void {
    const piece = bytes < body.length ? body.subarray(0, bytes) : body;
    const left = bytes - piece.length;
    if (left === 0) this.#socket.write(piece);
    else this.#socket.write(piece, () => this.#writeBody(body, left));
  }

  #writePaced(
    body: Buffer,
    { bytes, bytesPerSecond }: { readonly bytes: number; readonly bytesPerSecond: number },
  ): void {
    const startedAt = performance.now();
    let sent = 0;
    const timer = setInterval(() => {
      const seconds = (performance.now() - startedAt) / 1000;
      const due = Math.min(bytes, Math.floor(seconds * bytesPerSecond));
      // A server that does not read is not sent more.
      while (sent < due && !this.#socket.writableNeedDrain && !this.#socket.destroyed) {
        const piece = body.subarray(0, Math.min(body.length, due - sent));
        this.#socket.write(piece);
        sent += piece.length;
      }
      if (sent === bytes || this.#socket.destroyed) clearInterval(timer);
    }, paceMs);
  }

  #take(buffer: Uint8Array, count: number): void {
    const bytes = Buffer.from(buffer.buffer, buffer.byteOffset, count);
    let bodyStart = 0;
    if (this.#bodyLeft < 0) {
      const before = this.#head.length;
      this.#head += bytes.toString("latin1", 0, Math.min(count, headBytesMax));
      const end = this.#head.indexOf("\r\n\r\n");
      if (end < 0) return;
      bodyStart = end + 4 - before;
      this.#readHead(this.#head.slice(0, end));
    }
    const body = bytes.subarray(bodyStart);
    this.#bodyLeft -= body.length;
    this.#bodyBytes += body.length;
    this.#pending?.kept?.push(Buffer.from(body));
    if (this.#chunkedTail !== undefined) {
      this.#chunkedTail = Buffer.concat([this.#chunkedTail, body]).subarray(-lastChunk.length);
      if (this.#chunkedTail.equals(lastChunk)) this.#finish();
    } else if (this.#bodyLeft === 0) {
      this.#finish();
    } else if (this.#bodyLeft < 0) {
      this.#fail(new Error("more bytes came than the answer has"));
    }
  }

  #readHead(head: string): void {
    this.#status = Number(head.slice(9, 12));
    if (/\r\ntransfer-encoding: *chunked/i.test(head)) {
      // Answers that are chunked are short XML; no chunk of theirs ends as the last one does.
      this.#bodyLeft = Number.MAX_SAFE_INTEGER;
      this.#chunkedTail = Buffer.alloc(0);
      return;
    }
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
    if (length === undefined && this.#status !== 204) {
      throw new Error(`an answer without Content-Length: ${head}`);
    }
    this.#bodyLeft = Number(length ?? 0);
  }

  #finish(): void {
    const pending = this.#pending;
    this.#pending = undefined;
    if (pending === undefined) return;
    const body = pending.kept && Buffer.concat(pending.kept);
    if (this.#status >= 200 && this.#status < 300) {
      const head = this.#head.slice(0, this.#head.indexOf("\r\n\r\n"));
      pending.resolve({ status: this.#status, head, bodyBytes: this.#bodyBytes, body });
    } else {
      pending.reject(new Error(`status ${this.#status}: ${this.#head}`));
    }
  }

  #fail(error: Error): void {
    this.#pending?.reject(error);
    this.#pending = undefined;
  }
}
