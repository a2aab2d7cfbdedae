/**
 * The operations listener: health and metrics on an address of their own, so that they answer when
 * the public one is full. `/livez` touches nothing but the event loop.
 */
import Fastify, { type FastifyInstance } from "fastify";
import type { Registry } from "prom-client";

export interface ReadinessCheck {
  readonly name: string;
  /** The server is not ready without it. What is not essential is named, and hurts only its own. */
  readonly essential: boolean;
  /** Rejects when not ready. */
  check(): Promise<void>;
}

/** A check that takes longer counts as failed, and is not waited for. */
const checkMsMax = 2_000;

export function createOperationsServer(options: {
  readonly registry: Registry;
  /** Asked for each time, since storages come and go. */
  readonly checks: () => readonly ReadinessCheck[];
}): FastifyInstance {
  const app = Fastify({ logger: false });
  app.get("/livez", (_request, reply) => reply.type("text/plain").send("ok\n"));
  app.get("/readyz", async (_request, reply) => {
    const results = await Promise.all(options.checks().map(runCheck));
    const ready = results.every(({ ok, essential }) => ok || !essential);
    return reply.code(ready ? 200 : 503).send({ ready, checks: results });
  });
  app.get("/metrics", async (_request, reply) =>
    reply.type(options.registry.contentType).send(await options.registry.metrics()),
  );
  return app;
}

async function runCheck({ name, essential, check }: ReadinessCheck) {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${checkMsMax} ms`)), checkMsMax);
  });
  try {
    await Promise.race([check(), late]);
    return { name, essential, ok: true };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { name, essential, ok: false, reason };
  } finally {
    clearTimeout(timer);
  }
}
