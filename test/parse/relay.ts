/** An address that is known before what stands behind it has started: servers that name each other need one. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import type { TestContext } from "node:test";
import { cleanUp } from "../harness/cleanup.ts";

export interface Relay {
  readonly url: string;
  /** Where connections go from now on: another URL, or the path of a socket. */
  to(target: string): void;
}

/** Copies bytes both ways and looks at none. Closed after the test. */
export async function startRelay(t: TestContext): Promise<Relay> {
  let target: string | undefined;
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (client) => {
    if (target === undefined) {
      client.destroy();
      return;
    }
    const upstream = target.startsWith("/")
      ? connect({ path: target, allowHalfOpen: true })
      : connect({ port: Number(new URL(target).port), host: "127.0.0.1", allowHalfOpen: true });
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.pipe(other);
      socket.on("error", () => other.destroy());
      socket.on("close", () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanUp(t, () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    to(next) {
      target = next;
    },
  };
}
