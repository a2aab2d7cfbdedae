/**
 * Cross-origin access for browsers, off unless origins are named. Origins are compared exactly;
 * `null` is never one of them, and credentials are never allowed by reflection.
 */
import type { FastifyInstance } from "fastify";

export interface CorsOptions {
  /** `https://app.example`, or `*` for any origin. Empty turns CORS off. */
  readonly origins: readonly string[];
  readonly methods: readonly string[];
  readonly requestHeaders: readonly string[];
  readonly exposedHeaders: readonly string[];
  readonly maxAgeSeconds: number;
}

/** Adds the headers to every answer of the instance, and answers preflights. */
export function allowCors(app: FastifyInstance, options: CorsOptions): void {
  if (options.origins.length === 0) return;
  const origins = new Set(options.origins);
  const any = origins.has("*");
  app.addHook("onRequest", (request, reply, done) => {
    const { origin } = request.headers;
    if (!any) reply.header("vary", "Origin");
    const allowed = origin !== undefined && origin !== "null" && (any || origins.has(origin));
    if (!allowed) {
      done();
      return;
    }
    reply.header("access-control-allow-origin", any ? "*" : origin);
    const preflight =
      request.method === "OPTIONS" &&
      request.headers["access-control-request-method"] !== undefined;
    if (!preflight) {
      reply.header("access-control-expose-headers", options.exposedHeaders.join(", "));
      done();
      return;
    }
    reply.header("access-control-allow-methods", options.methods.join(", "));
    reply.header("access-control-allow-headers", options.requestHeaders.join(", "));
    reply.header("access-control-max-age", String(options.maxAgeSeconds));
    reply.code(204).send();
  });
}
