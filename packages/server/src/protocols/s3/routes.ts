/**
 * The plugin. One route takes every path, since keys are no paths; the order of checks is the same for all
 * requests: preflight, address, credential, headers that ask for what is not offered, operation, that a write
 * is somebody's, and then the operation's own. No handler runs before the credential of its request was verified.
 */
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from "fastify";
import {
  assertMeant,
  authenticateS3,
  isChange,
  type S3Caller,
} from "../../authentication/index.ts";
import { OperationalError } from "../../core/errors.ts";
import { allowCors, errorHandler } from "../../http/index.ts";
import { aclOperations } from "./acl.ts";
import { addressOf, bucketNamed, rememberAddress } from "./address.ts";
import { bucketOperations } from "./buckets.ts";
import { corsOperations, refusedPreflight, s3Cors } from "./cors.ts";
import { Dispatcher, subResources } from "./dispatch.ts";
import { renderS3Error, standingHeaders } from "./errors.ts";
import { listOperations } from "./list.ts";
import { multipartOperations } from "./multipart/index.ts";
import { refuseHeaders, standingOperations } from "./not-offered.ts";
import { objectOperations } from "./objects/index.ts";
import { parseQuery } from "./query.ts";
import { refusal } from "./s3-codes.ts";
import type { OperationRow, S3Services } from "./services.ts";

/** To be registered with the prefix `/s3`, or at the root, on an instance of `createHttp`. */
export function s3Protocol(services: S3Services): FastifyPluginAsync {
  const dispatcher = new Dispatcher([
    ...bucketOperations(services),
    ...listOperations(services),
    ...corsOperations(services),
    ...standingOperations(services),
    ...aclOperations(services),
    ...objectOperations(services),
    ...multipartOperations(services),
  ]);
  return async (app) => {
    const basePath = app.prefix;
    allowCors(app, {
      ...s3Cors,
      rulesOf: async (request) => {
        const bucket = bucketNamed(request, { ...services, basePath });
        return bucket === undefined ? undefined : (await services.buckets.find(bucket))?.cors;
      },
    });
    app.setErrorHandler(errorHandler(renderS3Error));
    app.addHook("onRequest", async (request, reply) => {
      reply.headers(standingHeaders(request)).header("x-content-type-options", "nosniff");
    });
    const handler = (request: FastifyRequest, reply: FastifyReply) =>
      enter({ services, dispatcher, basePath }, request, reply);
    for (const url of basePath === "" ? ["*"] : ["/", "/*"]) {
      app.route({ method: app.supportedMethods, url, handler });
    }
  };
}

/** No client signs `list-type` by version 2; and it changes no more than the form of a list. */
const signedNames = new Set([...subResources].filter((name) => name !== "list-type"));

interface Entrance {
  readonly services: S3Services;
  readonly dispatcher: Dispatcher;
  readonly basePath: string;
}

async function enter(
  { services, dispatcher, basePath }: Entrance,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { owner } = services;
  const address = addressOf(request, { ...services, basePath });
  rememberAddress(request, address);
  // One that was allowed has been answered, and is never signed.
  if (request.method === "OPTIONS") throw refusedPreflight(request);
  const query = parseQuery(request);
  const caller = await authenticateS3(services, request, { basePath, subResources: signedNames });
  refuseHeaders(request, caller.hoisted, owner.id);
  const row = dispatcher.find(request, address.on, query);
  assertSomebody(row, caller);
  const bucket = address.on === "service" ? undefined : address.bucket;
  const { actor } = caller;
  await assertMeant(services, { request, reply, actor, bucket, changes: isChange(row.method) });
  const exchange = { request, reply, caller, query, basePath };
  if (row.on === "object" && address.on === "object") {
    assertCurrentVersion(query.get("versionId"));
    await row.handler({ ...exchange, bucket: address.bucket, key: address.key });
  } else if (row.on === "bucket" && address.on === "bucket") {
    await row.handler({ ...exchange, bucket: address.bucket });
  } else if (row.on === "service") {
    await row.handler({ ...exchange, bucket: "" });
  }
  return reply;
}

/** Nobody writes anything, whatever the handler: so no body of nobody's is asked for, nor kept in memory. */
function assertSomebody({ method, operation, isForm }: OperationRow, { actor }: S3Caller): void {
  if (actor.kind !== "anonymous" || method === "GET" || method === "HEAD" || isForm) return;
  throw new OperationalError("unauthenticated", `${operation} needs a credential`);
}

/** Buckets keep no versions: the one that there is has the name that AWS gives it then. */
function assertCurrentVersion(versionId: string | undefined): void {
  if (versionId === undefined || versionId === "null") return;
  if (versionId === "") throw refusal("InvalidArgument", "versionId is empty");
  throw refusal("NoSuchVersion", "the object has no such version", {
    fields: { VersionId: versionId },
  });
}
