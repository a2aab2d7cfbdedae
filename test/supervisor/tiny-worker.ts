// A worker that is quick to start, and does what the tests ask of it by path.

import { existsSync } from "node:fs";
import { open } from "node:fs/promises";
import { createServer } from "node:http";
import { joinSupervisor, memorySample } from "../../packages/server/src/supervisor/worker-link.ts";

const { FAIL_SLOT, LEAVE_MS = "0", FAIL_FILE, STALL_FILE } = process.env;
const link = await joinSupervisor();
// As a worker of `roma serve` does.
process.once("beforeExit", () => process.exit());
const { siblings, connections } = link;
const hoard: Buffer[] = [];
let leads = false;
let says = true;
const say = (msg: string, facts: object = {}): void =>
  console.log(JSON.stringify({ msg, pid: process.pid, ...facts }));

siblings.on("who", () => ({ pid: process.pid, slot: link.slot }));
siblings.on("silence", () => new Promise(() => {}));
siblings.lead(async (signal) => {
  leads = true;
  say("lead begins");
  await new Promise((done) => signal.addEventListener("abort", done));
  await new Promise((done) => setTimeout(done, Number(LEAVE_MS)));
  leads = false;
  say("lead ends");
});

const actions: Readonly<Record<string, (body: string) => unknown>> = {
  "/": () => ({ pid: process.pid, slot: link.slot, leads, self: siblings.self }),
  "/ask": () => siblings.ask("who", null, { msMax: 60_000 }),
  "/ask-silent": () =>
    siblings.ask("silence", null, { msMax: 300 }).catch((error) => ({ code: error.code })),
  "/metrics": () => siblings.ask("supervisor-metrics", null, { msMax: 60_000, of: "supervisor" }),
  "/crash": () => setImmediate(() => Promise.reject(new Error("crashed as it was asked to"))),
  "/exit": () => setImmediate(() => process.exit(3)),
  "/spin": () => {
    setImmediate(spin);
    return process.pid;
  },
  "/hang": () => void open("/dev/null").then(() => open(process.env.FIFO ?? "")),
  "/hoard": () => {
    hoard.push(Buffer.alloc(64 * 2 ** 20, 1));
    return hoard.length;
  },
  "/recycle": () => link.recycle("asked by a test"),
  "/echo": (body) => ({ bytes: body.length, slot: link.slot }),
};

function spin(): never {
  for (;;);
}

const server = createServer(async (request, response) => {
  let body = "";
  for await (const chunk of request) body += chunk;
  const answer = await actions[request.url ?? ""]?.(body);
  if (!says) response.setHeader("connection", "close");
  response.end(JSON.stringify(answer ?? null));
});
server.keepAliveTimeout = 65_000;
const port = await connections.listen(server, { listener: "main", host: "127.0.0.1", port: 0 });
if (FAIL_SLOT === String(link.slot)) process.exit(7);
if (FAIL_FILE !== undefined && existsSync(FAIL_FILE)) process.exit(7);
if (STALL_FILE !== undefined && existsSync(STALL_FILE)) await new Promise(() => {});
if (FAIL_SLOT === "all") process.exit(2);
if (link.greets) say("listening", { url: `http://127.0.0.1:${port}` });
link.ready(async () => ({ ...memorySample(), connections: connections.count }));

const reason = await link.retired;
connections.leave();
siblings.beginStop();
await connections.settle();
says = false;
if (reason === "replaced") await connections.none(2_000);
server.closeIdleConnections();
await connections.none(Number(process.env.DRAIN_MS ?? 60_000));
server.closeAllConnections();
while (leads) await new Promise((done) => setTimeout(done, 10));
server.close();
link.close();
