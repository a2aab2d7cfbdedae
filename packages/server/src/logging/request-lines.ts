/** The log of requests: their ids on every line that is written for them, and a line when one has been answered. */
import type { FastifyInstance } from "fastify";
import type { Log } from "../core/ports/log.ts";
import { requestScope } from "../http/index.ts";
import type { LogConfig } from "./config.ts";
import { forRequest, traceIdOf } from "./request-context.ts";

/** To be called before protocols are registered on the instance. */
export function logRequests(
  app: FastifyInstance,
  {
    log,
    requests,
    ownTraceId = () => undefined,
  }: {
    readonly log: Log;
    readonly requests: LogConfig["requests"];
    /** Of the trace that this server makes of the request; the client's by default. */
    readonly ownTraceId?: (() => string | undefined) | undefined;
  },
): void {
  app.addHook("onRequest", (request, reply, done) => {
    const traceId = ownTraceId() ?? traceIdOf(request.headers.traceparent);
    const fields = { requestId: request.id, ...(traceId === undefined ? {} : { traceId }) };
    if (requests !== "off") {
      const began = performance.now();
      const { raw } = reply;
      // Not Fastify's own hook, which answers that were taken over by a stream do not reach.
      requestScope(request).atClose(() => {
        const ms = Math.round(performance.now() - began);
        const whole = raw.writableFinished;
        const answer = { ...fields, method: request.method, path: pathOf(request.raw.url) };
        log[requests](
          { ...answer, status: raw.statusCode, ms, ...(whole ? {} : { cut: true }) },
          "request answered",
        );
      });
    }
    forRequest(fields, done);
  });
}

/** Without the query, where grants and signatures are. */
function pathOf(target = ""): string {
  const query = target.indexOf("?");
  return (query === -1 ? target : target.slice(0, query)).slice(0, 1024);
}
