/**
 * A worker of `workers.ts`: a whole server in a process of its own, whose siblings are reached through the
 * parent. `node worker.child.ts NAME SERVER CONFIG`, the last as JSON.
 */
import { strict as assert } from "node:assert";
import { OperationalError } from "../../packages/server/src/core/errors.ts";
import type { Json, Siblings } from "../../packages/server/src/core/ports/siblings.ts";
import {
  parseServerConfig,
  startServer,
  widenThreadPool,
} from "../../packages/server/src/index.ts";
import type { Answer, ToChild, ToParent } from "./messages.ts";

const [self = "", serverName = "", config = ""] = process.argv.slice(2);
assert(self !== "" && config !== "", "worker.child.ts NAME SERVER CONFIG");
widenThreadPool();

type Handler = (message: Json, from: string) => Json | Promise<Json>;
const handlers = new Map<string, Handler>();
const asked = new Map<number, PromiseWithResolvers<readonly Answer[]>>();
const tasks: ((signal: AbortSignal) => Promise<void>)[] = [];
const stopping = new AbortController();
let lastId = 0;

const siblings: Siblings = {
  self,
  count: 2,
  ask: async (topic, question, { msMax, of }) => {
    const id = ++lastId;
    const waiting = Promise.withResolvers<readonly Answer[]>();
    const late = setTimeout(() => waiting.reject(silent()), msMax);
    asked.set(id, waiting);
    send({ kind: "ask", id, topic, question, of });
    try {
      return await waiting.promise;
    } finally {
      clearTimeout(late);
      asked.delete(id);
    }
  },
  tell: (topic, message) => send({ kind: "tell", topic, message }),
  on: (topic, handle) => void handlers.set(topic, handle),
  lead: (task) => {
    tasks.push(task);
    send({ kind: "candidate" });
  },
};

process.on("message", (message: ToChild) => void receive(message));
process.on("disconnect", () => process.exit(1));
send({ kind: "hello", name: self });

const log = {
  debug: () => {},
  info: () => {},
  warn: (fields: object, message: string) => console.error("warn", self, message, fields),
  error: (fields: object, message: string) => console.error("error", self, message, fields),
};
try {
  const server = await startServer(parseServerConfig(JSON.parse(config)), {
    ...{ log, siblings, serverName: serverName === "" ? undefined : serverName },
  });
  stopping.signal.addEventListener("abort", async () => {
    await server.close();
    process.disconnect?.();
    process.exit(0);
  });
  send({ kind: "ready", url: server.url });
} catch (error) {
  const code = error instanceof OperationalError ? error.code : "none";
  send({ kind: "refused", code, message: String(error) });
}

async function receive(message: ToChild): Promise<void> {
  if (message.kind === "answers") asked.get(message.id)?.resolve(message.answers);
  else if (message.kind === "unanswered") asked.get(message.id)?.reject(silent());
  else if (message.kind === "stop") stopping.abort();
  else if (message.kind === "told") {
    await handlers.get(message.topic)?.(message.message, message.from);
  } else if (message.kind === "question") {
    try {
      const answer = await handlers.get(message.topic)?.(message.question, message.from);
      send({ kind: "answer", id: message.id, answer: answer ?? null });
    } catch {
      send({ kind: "failed", id: message.id });
    }
  } else {
    await Promise.all(tasks.map((task) => task(stopping.signal)));
    send({ kind: "led" });
  }
}

function send(message: ToParent): void {
  process.send?.(message);
}

function silent(): OperationalError {
  return new OperationalError("unavailable", "a worker does not answer");
}
