/**
 * The plugin: registers the route table behind the one gate, and renders what handlers resolve to.
 * Only the description of the protocol itself is outside of the gate.
 */
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from "fastify";
import {
  assertMeant,
  assertNoSignedBody,
  authenticate,
  type Caller,
  isChange,
  withOrigin,
} from "../../authentication/index.ts";
import { anonymous, authorize } from "../../core/access.ts";
import { allowCors, errorHandler } from "../../http/index.ts";
import { basePath } from "./address.ts";
import { corsRulesOf, restCors } from "./cors.ts";
import { renderDocsPage } from "./docs-page.ts";
import { bucketMeant } from "./environment.ts";
import { renderRestError } from "./errors.ts";
import { idempotent } from "./idempotency.ts";
import { openapiDocument } from "./openapi.ts";
import { refuseRoute } from "./refuse.ts";
import { discoveryHeaders } from "./resumable-discovery.ts";
import { methodsAt, type Route, routeTable } from "./route-table.ts";
import type { RestServices } from "./services.ts";

const callerDecorator = "restCaller";

/** To be registered with the prefix `/v1`, on an instance of `createHttp`. */
export function restProtocol(services: RestServices): FastifyPluginAsync {
  return async (app) => {
    const routes = routeTable(services);
    const ownUrls = new Set(
      routes
        .filter(({ access }) => access === "own")
        .map((route) => `${basePath}${fastifyPath(route)}`),
    );
    const described = [...routes, ...descriptionRoutes];
    allowCors(app, { ...restCors, rulesOf: (request) => corsRulesOf(services, request) });
    app.setErrorHandler(errorHandler(renderRestError));
    app.decorateRequest(callerDecorator);
    app.addHook("onRequest", async (request) => {
      if (isDescription(request)) return;
      if (ownUrls.has(request.routeOptions.url ?? "")) {
        const actor = withOrigin(anonymous, request, "rest");
        request.setDecorator<Caller>(callerDecorator, { actor });
        return;
      }
      const caller = await authenticate(services, request, { protocol: "rest" });
      assertNoSignedBody(request.method, caller);
      request.setDecorator<Caller>(callerDecorator, caller);
    });
    app.addHook("onSend", async (_request, reply) => {
      if (!reply.hasHeader("cache-control")) reply.header("cache-control", "no-store");
      reply.header("x-content-type-options", "nosniff");
    });
    for (const route of routes) register(app, services, route);
    registerDescription(app, services);
    app.setNotFoundHandler(async (request, reply) => {
      const path = ((request.raw.url ?? "").split("?", 1)[0] ?? "").slice(basePath.length);
      const allowed = methodsAt(described, path);
      if (request.method !== "OPTIONS" || allowed.length === 0) {
        refuseRoute(allowed, { request, reply });
        return reply;
      }
      const caller = request.getDecorator<Caller>(callerDecorator);
      reply.headers(await discoveryHeaders(services, { request, reply, caller }, path));
      return reply.code(204).header("allow", allowed.join(", ")).send();
    });
  };
}

function register(app: FastifyInstance, services: RestServices, route: Route): void {
  const changes = route.changes ?? isChange(route.method);
  const handler = changes ? idempotent(services, route.handler) : route.handler;
  app.route({
    method: route.method,
    url: fastifyPath(route),
    handler: async (request: FastifyRequest, reply: FastifyReply) => {
      const caller = request.getDecorator<Caller>(callerDecorator);
      if (route.access === "credential" && caller.actor.kind === "anonymous") {
        authorize(caller.actor, "object:read", {});
      }
      if (route.bucketInBody === true) {
        if (changes) services.environment.assertWritable();
      } else {
        const { actor } = caller;
        const bucket = await bucketMeant(services, request, route);
        await assertMeant(services, { request, reply, actor, bucket, changes });
      }
      const json = await handler({ request, reply, caller });
      return reply.sent ? reply : reply.send(json);
    },
  });
}

function fastifyPath({ path }: Pick<Route, "path">): string {
  return path.replace(/\{\+\w+\}/, "*").replaceAll(/\{(\w+)\}/g, ":$1");
}

const descriptionPaths = ["/openapi.json", "/docs"] as const;

/** What needs no credential, because it says nothing about anybody's data. */
export const descriptionRoutes: readonly Pick<Route, "method" | "path">[] =
  descriptionPaths.flatMap((path) => [
    { method: "GET" as const, path },
    { method: "HEAD" as const, path },
  ]);

function isDescription(request: FastifyRequest): boolean {
  return descriptionPaths.some((path) => request.routeOptions.url === `${basePath}${path}`);
}

function registerDescription(app: FastifyInstance, services: RestServices): void {
  const document = openapiDocument(
    services.publicUrl === undefined ? {} : { publicUrl: services.publicUrl },
  );
  const json = JSON.stringify(document);
  const page = renderDocsPage(document);
  const cacheControl = "public, max-age=300";
  app.route({
    method: ["GET", "HEAD"],
    url: "/openapi.json",
    handler: (_request, reply) =>
      reply
        .header("cache-control", cacheControl)
        .type("application/json; charset=utf-8")
        .send(json),
  });
  app.route({
    method: ["GET", "HEAD"],
    url: "/docs",
    handler: (_request, reply) =>
      reply
        .header("cache-control", cacheControl)
        .header("content-security-policy", page.contentSecurityPolicy)
        .type("text/html; charset=utf-8")
        .send(page.html),
  });
}
