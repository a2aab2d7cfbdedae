/**
 * The plugin: what `@uppy/aws-s3` asks of a Companion, answered with URLs of our own S3 interface that are signed
 * with the caller's grant as session token. So whatever a grant limits is judged there, when bytes come, and a
 * page needs a URL and a grant and no code.
 */
import type { FastifyPluginAsync, FastifyRequest } from "fastify";
import { assertMeant, authenticate, isChange, temporaryKey } from "../../authentication/index.ts";
import { OperationalError } from "../../core/errors.ts";
import { allowCors, errorHandler, publicOrigin } from "../../http/index.ts";
import { companionCors, corsRulesOf } from "./cors.ts";
import { renderCompanionError } from "./errors.ts";
import { cancel, complete, create, list, signPart, signParts } from "./multipart.ts";
import { formParameters } from "./params.ts";
import { grantOfPath } from "./path.ts";
import type { CompanionServices, Exchange, Handler } from "./services.ts";
import { signRequest } from "./sign.ts";
import { credentials } from "./sts.ts";

interface Route {
  readonly method: "GET" | "POST" | "DELETE";
  readonly path: string;
  /** What it is for: a grant's methods are judged by it. `own`: nothing that a grant is asked for. */
  readonly as: "GET" | "POST" | "PUT" | "DELETE" | "own";
  readonly handler: (services: CompanionServices) => Handler;
}

const routes: readonly Route[] = [
  { method: "GET", path: "/s3/params", as: "POST", handler: formParameters },
  { method: "GET", path: "/s3/sts", as: "own", handler: credentials },
  { method: "POST", path: "/s3/multipart", as: "POST", handler: create },
  { method: "GET", path: "/s3/multipart/:uploadId", as: "GET", handler: list },
  { method: "GET", path: "/s3/multipart/:uploadId/batch", as: "PUT", handler: signParts },
  { method: "GET", path: "/s3/multipart/:uploadId/:partNumber", as: "PUT", handler: signPart },
  { method: "POST", path: "/s3/multipart/:uploadId/complete", as: "POST", handler: complete },
  { method: "DELETE", path: "/s3/multipart/:uploadId", as: "DELETE", handler: cancel },
  { method: "POST", path: "/sign", as: "own", handler: signRequest },
];

/** To be registered with the prefix `/companion`, on an instance of `createHttp`. */
export function companionProtocol(services: CompanionServices): FastifyPluginAsync {
  return async (app) => {
    allowCors(app, { ...companionCors, rulesOf: (request) => corsRulesOf(services, request) });
    app.setErrorHandler(errorHandler(renderCompanionError));
    app.addHook("onSend", async (_request, reply) => {
      // A signed URL, or a grant in the address: neither is for a cache or for another site.
      reply.header("cache-control", "no-store").header("referrer-policy", "no-referrer");
      reply.header("x-content-type-options", "nosniff");
    });
    for (const { method, path, as, handler } of routes) {
      const handle = handler(services);
      for (const url of [path, `/~:grant${path}`]) {
        app.route({
          method,
          url,
          handler: async (request, reply) => {
            const admitted = await admit(services, request, as);
            const { actor, scope } = admitted;
            const changes = isChange(method);
            await assertMeant(services, { request, reply, actor, bucket: scope.bucket, changes });
            return reply.send(await handle({ ...admitted, request, reply }));
          },
        });
      }
    }
    app.setNotFoundHandler(async () => {
      throw new OperationalError("unsupported", "the path is not one of this protocol");
    });
  };
}

async function admit(
  { accessKeys, clock, region, s3Path, publicUrl }: CompanionServices,
  request: FastifyRequest,
  as: Route["as"],
): Promise<Omit<Exchange, "request" | "reply">> {
  const ofPath = grantOfPath(request);
  const { actor, grant } = await authenticate({ accessKeys, clock }, request, {
    protocol: "companion",
    ...(as === "own" ? {} : { method: as }),
    grant: ofPath,
  });
  if (actor.kind !== "grant" || grant === undefined) {
    throw new OperationalError("unauthenticated", "a grant is needed, as bearer or in the path");
  }
  const { keyId, scope } = actor;
  return {
    actor,
    scope,
    key: await temporaryKey(accessKeys, { keyId, token: grant, region }),
    s3Url: `${publicOrigin(request, { publicUrl })}${s3Path}`,
  };
}
