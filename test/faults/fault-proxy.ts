/**
 * A proxy on loopback in front of a storage that speaks HTTP/1.1. It passes every byte on as it came,
 * so signatures stay right, and does to a chosen request what networks and storages do: refuses it,
 * goes silent, resets at a byte, ends the answer early, or loses it.
 */
import {
  type AddressInfo,
  createServer,
  connect as dial,
  type Server,
  type Socket,
} from "node:net";

export type Fault =
  /** Told in place of the storage, which never sees the request. */
  | {
      readonly kind: "answer";
      readonly status: number;
      readonly body: Uint8Array;
      readonly headers?: Readonly<Record<string, string>>;
    }
  /** The request is taken, and nothing ever answers it. */
  | { readonly kind: "silence" }
  /** The headers of the storage's answer, and nothing after them. */
  | { readonly kind: "headersThenSilence" }
  /** Both connections are reset before this byte of the request, its head counted in. */
  | { readonly kind: "resetRequest"; readonly at: number }
  /** The connection is reset before this byte of the answer, its head counted in. */
  | { readonly kind: "resetAnswer"; readonly at: number }
  /** The connection ends in order, after so many bytes of the answer's body. */
  | { readonly kind: "cutBody"; readonly at: number }
  /** The same, and the answer's Content-Length says that it was all. */
  | { readonly kind: "shortenBody"; readonly at: number }
  /** The storage does the work, and its answer is never seen. */
  | { readonly kind: "loseAnswer" };

export interface ProxiedRequest {
  readonly method: string;
  /** As sent: path and query. */
  readonly target: string;
  /** The head and the body together. */
  readonly length: number;
}

export interface Upstream {
  readonly host: string;
  readonly port: number;
}

export class FaultProxy implements AsyncDisposable {
  /** Asked once for each request, before any of it is passed on. */
  fault: (request: ProxiedRequest) => Fault | undefined = () => undefined;
  /** As `PUT /bucket/key?partNumber=1`, in order. */
  readonly requests: string[] = [];
  readonly #upstream: Upstream;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(upstream: Upstream) {
    this.#upstream = upstream;
    this.#server = createServer((client) => {
      this.#sockets.add(client);
      client.on("close", () => this.#sockets.delete(client));
      new Connection(this, client, dial(this.#upstream));
    });
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return this;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Connections of clients, which take this for the storage. */
  get connections(): number {
    return this.#sockets.size;
  }

  async [Symbol.asyncDispose](): Promise<undefined> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

const headEnd = Buffer.from("\r\n\r\n");

/** One client's connection and its twin to the storage: requests come one after the other. */
class Connection {
  readonly #proxy: FaultProxy;
  readonly #client: Socket;
  readonly #storage: Socket;
  /** Bytes of a request whose head is not complete. */
  #head = Buffer.alloc(0);
  #bodyLeft = 0;
  #fault: Fault | undefined;
  #sent = 0;
  /** Bytes of the answer so far, and its head until that is complete. */
  #answered = 0;
  #answerHead: Buffer | undefined;
  #bodyGiven = 0;

  constructor(proxy: FaultProxy, client: Socket, storage: Socket) {
    this.#proxy = proxy;
    this.#client = client;
    this.#storage = storage;
    client.on("data", (bytes) => this.#onRequest(Buffer.from(bytes)));
    storage.on("data", (bytes) => this.#onAnswer(Buffer.from(bytes)));
    for (const [socket, twin] of [
      [client, storage],
      [storage, client],
    ] as const) {
      socket.setNoDelay(true);
      socket.on("error", () => undefined);
      socket.on("drain", () => twin.resume());
      socket.on("close", () => twin.destroy());
    }
  }

  #onRequest(bytes: Buffer): void {
    let rest = bytes;
    if (this.#bodyLeft === 0) {
      this.#head = Buffer.concat([this.#head, bytes]);
      const end = this.#head.indexOf(headEnd);
      if (end === -1) return;
      rest = this.#head;
      this.#head = Buffer.alloc(0);
      this.#begin(rest.toString("latin1", 0, end), end + headEnd.length);
    }
    this.#bodyLeft -= rest.length;
    const before = this.#sent;
    this.#sent += rest.length;
    const fault = this.#fault;
    if (fault?.kind === "silence") return;
    if (fault?.kind === "answer") {
      if (this.#bodyLeft === 0) this.#client.write(answerOf(fault));
      return;
    }
    if (fault?.kind === "resetRequest" && this.#sent > fault.at) {
      this.#storage.write(rest.subarray(0, Math.max(0, fault.at - before)), () => this.#reset());
      return;
    }
    if (!this.#storage.write(rest)) this.#client.pause();
  }

  #begin(head: string, headLength: number): void {
    const [method = "", target = ""] = head.split(" ");
    const length = headLength + (lengthOf(head) ?? 0);
    this.#bodyLeft = length;
    this.#sent = 0;
    this.#answered = 0;
    this.#bodyGiven = 0;
    this.#answerHead = Buffer.alloc(0);
    this.#proxy.requests.push(`${method} ${target}`);
    this.#fault = this.#proxy.fault({ method, target, length });
  }

  #onAnswer(bytes: Buffer): void {
    const fault = this.#fault;
    if (fault?.kind === "loseAnswer") {
      this.#reset();
      return;
    }
    if (fault?.kind === "resetAnswer" && this.#answered + bytes.length > fault.at) {
      const last = bytes.subarray(0, Math.max(0, fault.at - this.#answered));
      this.#client.write(last, () => this.#reset());
      return;
    }
    this.#answered += bytes.length;
    if (fault?.kind === "headersThenSilence") this.#giveBody(bytes, 0);
    else if (fault?.kind === "cutBody" || fault?.kind === "shortenBody") {
      this.#giveBody(bytes, fault.at);
    } else if (!this.#client.write(bytes)) this.#storage.pause();
  }

  /** The head whole, and so many bytes of the body. */
  #giveBody(bytes: Buffer, at: number): void {
    let body = bytes;
    if (this.#answerHead !== undefined) {
      const all = Buffer.concat([this.#answerHead, bytes]);
      const end = all.indexOf(headEnd);
      if (end === -1) {
        this.#answerHead = all;
        return;
      }
      this.#answerHead = undefined;
      const head = all.toString("latin1", 0, end);
      const told = this.#fault?.kind === "shortenBody" ? withLength(head, at) : head;
      this.#client.write(`${told}\r\n\r\n`, "latin1");
      body = all.subarray(end + headEnd.length);
    }
    const part = body.subarray(0, at - this.#bodyGiven);
    this.#bodyGiven += part.length;
    this.#client.write(part);
    if (at > 0 && this.#bodyGiven === at) this.#client.end();
  }

  #reset(): void {
    this.#client.resetAndDestroy();
    this.#storage.resetAndDestroy();
  }
}

function answerOf({ status, body, headers = {} }: Fault & { readonly kind: "answer" }): Buffer {
  const lines = Object.entries({ ...headers, "content-length": String(body.length) });
  const head = [`HTTP/1.1 ${status} Told`, ...lines.map(([name, value]) => `${name}: ${value}`)];
  return Buffer.concat([Buffer.from(`${head.join("\r\n")}\r\n\r\n`, "latin1"), body]);
}

function lengthOf(head: string): number | undefined {
  const told = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
  return told === undefined ? undefined : Number(told);
}

function withLength(head: string, length: number): string {
  return head.replace(/(\r\ncontent-length: *)\d+/i, `$1${length}`);
}
