/**
 * Looks into a running server through Node's inspector (`--inspect=127.0.0.1:0`): what is alive after
 * a full collection, and which timers, sockets and files its event loop still holds.
 */
import assert from "node:assert/strict";

export interface Insight {
  /** Of the main thread, after a full collection: its heap, and the buffers outside of it. */
  readonly heapBytes: number;
  readonly externalBytes: number;
  /** How many of each kind keep or could keep the event loop busy. */
  readonly resources: Readonly<Record<string, number>>;
}

const expression = `(() => {
  const { heapUsed, external } = process.memoryUsage();
  const resources = Object.groupBy(process.getActiveResourcesInfo(), (name) => name);
  return JSON.stringify({
    heapBytes: heapUsed,
    externalBytes: external,
    resources: Object.fromEntries(Object.entries(resources).map(([name, all]) => [name, all.length])),
  });
})()`;

/** `stderr` is where the process printed the address of its inspector. */
export async function inspectServer(stderr: string): Promise<Insight> {
  const address = /ws:\/\/127\.0\.0\.1:\d+\/[0-9a-f-]+/.exec(stderr)?.[0];
  assert(address !== undefined, "the process was started with --inspect=127.0.0.1:0");
  const socket = new WebSocket(address);
  try {
    await new Promise<void>((resolve, reject) => {
      socket.addEventListener("open", () => resolve(), { once: true });
      socket.addEventListener("error", () => reject(new Error("no inspector")), { once: true });
    });
    await call(socket, 1, "HeapProfiler.collectGarbage", {});
    const answer = await call(socket, 2, "Runtime.evaluate", { expression });
    const text: unknown = answer?.result?.value;
    assert(typeof text === "string", "the process answered");
    const insight: Insight = JSON.parse(text);
    return insight;
  } finally {
    socket.close();
  }
}

interface Reply {
  readonly id?: number;
  readonly result?: { readonly result?: { readonly value?: unknown } };
}

function call(
  socket: WebSocket,
  id: number,
  method: string,
  params: object,
): Promise<Reply["result"]> {
  return new Promise((resolve) => {
    const onMessage = (event: MessageEvent) => {
      const reply: Reply = JSON.parse(String(event.data));
      if (reply.id !== id) return;
      socket.removeEventListener("message", onMessage);
      resolve(reply.result);
    };
    socket.addEventListener("message", onMessage);
    socket.send(JSON.stringify({ id, method, params }));
  });
}
