/**
 * The plugin. Fastify routes by path alone: which method is meant is known only when its override was
 * read, so every path takes all methods and a table decides. The order of checks is the same for all:
 * method, discovery, version, credential, and then the method's own.
 */
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from "fastify";
import {
  assertMeant,
  assertNoSignedBody,
  authenticate,
  type Caller,
  isChange,
} from "../../authentication/index.ts";
import { authorize } from "../../core/access.ts";
import { isOperationalError, OperationalError } from "../../core/errors.ts";
import { parseBucketName } from "../../core/object-key.ts";
import { allowCors, errorHandler } from "../../http/index.ts";
import { appendToUpload } from "./append.ts";
import { corsRulesOf, tusCors } from "./cors.ts";
import { createUpload } from "./creation.ts";
import { discover } from "./discovery.ts";
import { locationDecorator, refuseRoute, refuseVersion, renderTusError } from "./errors.ts";
import { field, tusVersion } from "./fields.ts";
import { effectiveMethod } from "./method.ts";
import { pathParameter } from "./path.ts";
import { readUpload } from "./reading.ts";
import type { Handler, TusServices } from "./services.ts";
import { uploadStatus } from "./status.ts";
import { terminateUpload } from "./termination.ts";

/** To be registered with the prefix `/tus`, on an instance of `createHttp`. */
export function tusProtocol(services: TusServices): FastifyPluginAsync {
  const ofNothing: ReadonlyMap<string, Handler> = new Map();
  const ofBucket: ReadonlyMap<string, Handler> = new Map([["POST", createUpload(services)]]);
  const ofUpload: ReadonlyMap<string, Handler> = new Map([
    ["HEAD", uploadStatus(services)],
    ["PATCH", appendToUpload(services)],
    ["DELETE", terminateUpload(services)],
    ["GET", readUpload(services)],
  ]);
  // Clients append a slash to the address of a bucket, or not.
  const paths = [
    ["/", ofNothing],
    ["/:bucket", ofBucket],
    ["/:bucket/", ofBucket],
    ["/:bucket/:id", ofUpload],
  ] as const;

  return async (app) => {
    allowCors(app, { ...tusCors, rulesOf: (request) => corsRulesOf(services, request) });
    app.decorateRequest(locationDecorator);
    app.setErrorHandler(errorHandler(renderTusError));
    app.addHook("onRequest", async (_request, reply) => {
      reply.header("tus-resumable", tusVersion);
    });
    app.addHook("onSend", async (_request, reply) => {
      if (!reply.hasHeader("cache-control")) reply.header("cache-control", "no-store");
      // Node has no text for it.
      if (reply.statusCode === 460) reply.raw.statusMessage = "Checksum Mismatch";
    });
    for (const [url, handlers] of paths) {
      const handler = (request: FastifyRequest, reply: FastifyReply) =>
        enter(services, { request, reply }, handlers);
      app.route({ method: app.supportedMethods, url, handler });
    }
    app.setNotFoundHandler((request, reply) => refuseRoute([], { request, reply }));
  };
}

async function enter(
  services: TusServices,
  asked: { readonly request: FastifyRequest; readonly reply: FastifyReply },
  handlers: ReadonlyMap<string, Handler>,
): Promise<FastifyReply> {
  const { request } = asked;
  const method = effectiveMethod(request);
  const named = pathParameter(request, "bucket");
  if (method === "OPTIONS") return discover(services, asked, named === "" ? undefined : named);
  // Browsers follow the URL, and know nothing of tus.
  if (method !== "GET" && field(request, "Tus-Resumable") !== tusVersion) {
    return refuseVersion(asked);
  }
  const handler = handlers.get(method);
  if (handler === undefined) {
    return refuseRoute(handlers.size === 0 ? [] : [...handlers.keys(), "OPTIONS"], asked);
  }
  const bucket = parseBucketName(named);
  const caller = await admit(services, request, method);
  // Nobody is asked for a credential before being told what else is wrong.
  if (caller.actor.kind === "anonymous") authorize(caller.actor, "object:write", { bucket });
  const { actor } = caller;
  await assertMeant(services, { ...asked, actor, bucket, changes: isChange(method) });
  return handler({ ...asked, caller, bucket });
}

async function admit(
  services: TusServices,
  request: FastifyRequest,
  method: string,
): Promise<Caller> {
  try {
    const caller = await authenticate(services, request, { protocol: "tus", method });
    assertNoSignedBody(method, caller);
    return caller;
  } catch (error) {
    if (!isOperationalError(error, "expired")) throw error;
    // 410 would say that the upload is gone.
    throw new OperationalError("access_denied", error.message, { cause: error });
  }
}
