/**
 * A proxy on loopback between clients and a server that resets connections at chosen bytes, whatever
 * passes on them. Clients keep its address when the server comes back with another port.
 */
import { connect, createServer, type Server, type Socket } from "node:net";
import type { TestContext } from "node:test";
import { cleanUp } from "./cleanup.ts";

export interface CuttingProxyOptions {
  /** Asked for each connection: where the server is at that moment. */
  readonly upstream: () => { readonly url: string };
  /**
   * For each cut, in turn, after how many bytes from clients it comes. Bytes of all connections count,
   * from the cut before on; the connection on which the last of them passes is reset.
   */
  readonly cuts?: readonly number[];
}

export async function startCuttingProxy(
  t: TestContext,
  options: CuttingProxyOptions,
): Promise<CuttingProxy> {
  const proxy = new CuttingProxy(options);
  await proxy.listen();
  cleanUp(t, () => proxy.close());
  return proxy;
}

export class CuttingProxy {
  readonly #upstream: () => { readonly url: string };
  readonly #cuts: number[];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #untilCut: number;
  #cutsDone = 0;
  #bytes = 0;

  constructor({ upstream, cuts = [] }: CuttingProxyOptions) {
    this.#upstream = upstream;
    this.#cuts = [...cuts];
    this.#untilCut = this.#cuts.shift() ?? Number.POSITIVE_INFINITY;
    this.#server = createServer((client) => this.#pass(client));
  }

  get url(): string {
    const address = this.#server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    return `http://127.0.0.1:${port}`;
  }

  get cutsDone(): number {
    return this.#cutsDone;
  }

  /** From clients, those of connections that were reset too. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Nothing passes any more, nor waits to: what a client that is gone had sent may come after its end. */
  get isIdle(): boolean {
    return this.#sockets.size === 0;
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #pass(client: Socket): void {
    const { hostname, port } = new URL(this.#upstream().url);
    const server = connect({ host: hostname, port: Number(port) });
    for (const [socket, twin] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("error", () => undefined);
      socket.on("drain", () => twin.resume());
      socket.on("close", () => {
        this.#sockets.delete(socket);
        twin.destroy();
      });
    }
    server.on("data", (chunk) => {
      if (!client.write(chunk)) server.pause();
    });
    client.on("data", (chunk: Buffer) => {
      this.#bytes += chunk.length;
      this.#untilCut -= chunk.length;
      if (this.#untilCut > 0) {
        if (!server.write(chunk)) client.pause();
        return;
      }
      const kept = chunk.subarray(0, chunk.length + this.#untilCut);
      this.#cutsDone += 1;
      this.#untilCut = this.#cuts.shift() ?? Number.POSITIVE_INFINITY;
      server.write(kept, () => server.resetAndDestroy());
      client.resetAndDestroy();
    });
  }
}
