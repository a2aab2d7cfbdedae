/**
 * A worker of `workers.ts`: a whole server in a process of its own, whose siblings are reached through the
 * parent. `node worker.child.ts SLOT SERVER CONFIG CLOCK-AHEAD-MS`, the configuration as JSON.
 */
import { strict as assert } from "node:assert";
import { OperationalError } from "../../packages/server/src/core/errors.ts";
import { systemClock } from "../../packages/server/src/core/ports/clock.ts";
import {
  parseServerConfig,
  startServer,
  widenThreadPool,
} from "../../packages/server/src/index.ts";
import { SiblingsLink } from "../../packages/server/src/supervisor/siblings-link.ts";
import type { ToChild, ToParent } from "./messages.ts";

const [slot = "", serverName = "", config = "", aheadMs = "0"] = process.argv.slice(2);
assert(slot !== "" && config !== "", "worker.child.ts SLOT SERVER CONFIG");
widenThreadPool();

const stopping = new AbortController();
const siblings = new SiblingsLink(
  {
    send: (message) => void process.send?.(message),
    onMessage: (handle) => process.on("message", (message: ToChild) => handle(message)),
  },
  { slot: Number(slot), count: 2 },
);
const { self } = siblings;
process.on("message", ({ kind }: ToChild) => {
  if (kind === "retire") stopping.abort();
});
process.on("disconnect", () => process.exit(1));

const log = {
  debug: () => {},
  info: () => {},
  warn: (fields: object, message: string) => console.error("warn", self, message, fields),
  error: (fields: object, message: string) => console.error("error", self, message, fields),
};
try {
  const server = await startServer(parseServerConfig(JSON.parse(config)), {
    ...{ log, siblings, serverName: serverName === "" ? undefined : serverName },
    clock: { ...systemClock, now: () => new Date(Date.now() + Number(aheadMs)) },
  });
  stopping.signal.addEventListener("abort", async () => {
    siblings.beginStop();
    await server.close();
    process.disconnect?.();
    process.exit(0);
  });
  send({ kind: "ready", url: server.url });
} catch (error) {
  const code = error instanceof OperationalError ? error.code : "none";
  send({ kind: "refused", code, message: String(error) });
}

function send(message: ToParent): void {
  process.send?.(message);
}
