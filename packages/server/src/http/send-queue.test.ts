import { once } from "node:events";
import { existsSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { sendQueueBytes } from "./send-queue.ts";
import { eventually } from "./testing.ts";

for (const [listen, reach] of [
  ["127.0.0.1", "127.0.0.1"],
  ["::1", "::1"],
  ["::", "127.0.0.1"],
] as const) {
  test(`what a reader at ${reach} has not taken of a server at ${listen} is known`, async (t) => {
    if (!existsSync("/proc/net/tcp6")) return void t.skip("no /proc/net/tcp6 here");
    const server = createServer();
    server.listen(0, listen);
    await once(server, "listening");
    t.after(() => server.close());
    const { port } = server.address() as { readonly port: number };
    const reader = connect(port, reach).pause();
    t.after(() => reader.destroy());
    const [socket] = (await once(server, "connection")) as [Socket];
    // A look of a moment ago is good for a second.
    await eventually(async () => (await sendQueueBytes(socket)) === 0, "nothing waits");
    socket.write(Buffer.alloc(32 * 1024 * 1024));
    await eventually(
      async () => ((await sendQueueBytes(socket)) ?? 0) > 0,
      "the kernel holds some",
    );
    reader.resume();
    await eventually(async () => (await sendQueueBytes(socket)) === 0, "all is taken");
    socket.destroy();
    await eventually(async () => (await sendQueueBytes(socket)) === undefined, "it has no end");
  });
}
