/**
 * The operations listener: health and metrics on an address of their own, so that they answer when
 * the public one is full. `/livez` touches nothing but the event loop; `/readyz` has the newest results of checks
 * that run by themselves; `/metrics` those of all workers.
 */
import Fastify, { type FastifyInstance } from "fastify";
import type { MergedMetrics } from "./merged-metrics.ts";
import type { Readiness } from "./readiness.ts";

export function createOperationsServer(options: {
  readonly metrics: MergedMetrics;
  readonly readiness: Readiness;
}): FastifyInstance {
  const { metrics, readiness } = options;
  // Answers while the server drains, to say so.
  const app = Fastify({ logger: false, return503OnClosing: false });
  app.get("/livez", (_request, reply) => reply.type("text/plain").send("ok\n"));
  app.get("/readyz", async (_request, reply) => {
    const report = await readiness.report();
    return reply
      .code(report.ready ? 200 : 503)
      .header("cache-control", "no-store")
      .send(report);
  });
  app.get("/metrics", async (_request, reply) =>
    reply.type(metrics.contentType).send(await metrics.text()),
  );
  return app;
}
