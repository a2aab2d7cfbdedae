/** The gate: what a request says about itself becomes the application, the privilege and core's actor. */
import type { FastifyRequest } from "fastify";
import { assertMeant, authenticate, withOrigin } from "../../authentication/index.ts";
import type { Actor } from "../../core/access.ts";
import { OperationalError } from "../../core/errors.ts";
import { whileRunning } from "../../http/index.ts";
import type { Application } from "./applications.ts";
import type { Credentials } from "./credentials.ts";
import { forbidden, saveRefused, unauthorized } from "./errors.ts";
import type { ParseServices } from "./services.ts";

/** As it is put down with what a caller changes. */
const protocol = "parse";

export interface Caller {
  readonly application: Application;
  /** By whose policy core judges. */
  readonly actor: Actor;
  /** `own`: a credential of this server, whose policy alone decides. */
  readonly as: "master" | "own" | "user" | "anonymous-user" | "public";
  /** Tells callers apart. */
  readonly who: string;
}

/**
 * `unauthenticated` for an unknown application and a wrong key, code 209 for a wrong session. A key or token
 * that is wrong is refused even where nobody needs one. `isRead`: a client key is not asked for, since a URL that
 * a page shows carries none. `environment_mismatch` if the request means another.
 */
export async function admit(
  services: ParseServices,
  request: FastifyRequest,
  credentials: Credentials,
  options: { readonly isRead?: boolean } = {},
): Promise<Caller> {
  const caller = await callerOf(services, request, { credentials, ...options });
  const { bucket } = caller.application.config;
  await assertMeant(services, { request, actor: caller.actor, bucket, changes: false });
  return { ...caller, actor: withOrigin(caller.actor, request, protocol) };
}

async function callerOf(
  services: ParseServices,
  request: FastifyRequest,
  { credentials, isRead = false }: { readonly credentials: Credentials; readonly isRead?: boolean },
): Promise<Caller> {
  const own = await ownCaller(services, request, credentials);
  if (own !== undefined) return own;
  const application = await applicationOf(services, credentials.applicationId);
  const { masterKey, clientKeys, sessionToken } = credentials;
  if (masterKey !== undefined) {
    if (!(await application.hasMasterKey(masterKey))) throw unauthorized("the master key is wrong");
    return { application, actor: await application.actor(), as: "master", who: "master" };
  }
  const mayLackKey = isRead && Object.keys(clientKeys).length === 0;
  if (!mayLackKey && !application.hasClientKey(clientKeys))
    throw unauthorized("no client key fits");
  const actor = await application.actor();
  if (sessionToken === undefined) return { application, actor, as: "public", who: "public" };
  const user = await whileRunning(request, services.sessions.userOf(application, sessionToken));
  const as = user.isAnonymous ? "anonymous-user" : "user";
  return { application, actor, as, who: `user ${user.id}` };
}

/** Whoever may do what Parse asks the master key for. */
export function isPrivileged({ as }: Caller): boolean {
  return as === "master" || as === "own";
}

/** Code 130, with the words of parse-server, unless the application lets such callers upload. */
export function assertMayUpload({ as, application }: Caller): void {
  const { fileUpload } = application.config;
  if (as === "public" && !fileUpload.enableForPublic) {
    throw saveRefused("File upload by public is disabled.");
  }
  if (as === "anonymous-user" && !fileUpload.enableForAnonymousUser) {
    throw saveRefused("File upload by anonymous user is disabled.");
  }
  if (as === "user" && !fileUpload.enableForAuthenticatedUser) {
    throw saveRefused("File upload by authenticated user is disabled.");
  }
}

/** Code 119, likewise. */
export function assertMayDownload({ as, application }: Caller): void {
  const { fileDownload } = application.config;
  if (as === "public" && !fileDownload.enableForPublic) {
    throw forbidden("File download by public is disabled.");
  }
  if (as === "anonymous-user" && !fileDownload.enableForAnonymousUser) {
    throw forbidden("File download by anonymous user is disabled.");
  }
  if (as === "user" && !fileDownload.enableForAuthenticatedUser) {
    throw forbidden("File download by authenticated user is disabled.");
  }
}

/** Of the credentials that every other front end takes. */
async function ownCaller(
  services: ParseServices,
  request: FastifyRequest,
  { applicationId, isOwn }: Credentials,
): Promise<Caller | undefined> {
  if (!isOwn) return undefined;
  if (/^aws4-/i.test(request.headers.authorization ?? "")) {
    throw new OperationalError("unauthenticated", "Authorization must be Basic or Bearer");
  }
  const { actor } = await authenticate(services, request, { protocol });
  if (actor.kind === "anonymous") return undefined;
  const { applications } = services;
  const application =
    applicationId === undefined && !applications.isConfigured
      ? applications.impliedBy(actor.keyId)
      : await applicationOf(services, applicationId);
  return { application, actor, as: "own", who: `key ${actor.keyId}` };
}

async function applicationOf(
  { applications }: ParseServices,
  id: string | undefined,
): Promise<Application> {
  if (id === undefined) throw unauthorized("the request names no application");
  const application = await applications.find(id);
  if (application === undefined) throw unauthorized("there is no such application");
  return application;
}
