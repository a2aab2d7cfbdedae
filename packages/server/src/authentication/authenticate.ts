/**
 * The one gate of all protocols: finds the single credential of a request and names its actor, before
 * any handler runs. A credential that is wrong is refused even where nobody needs one.
 */
import assert from "node:assert/strict";
import type { FastifyRequest } from "fastify";
import { type Actor, anonymous } from "../core/access.ts";
import type { AccessKeys } from "../core/access-keys.ts";
import { OperationalError } from "../core/errors.ts";
import { looksLikeGrant } from "../core/grants.ts";
import type { Clock } from "../core/ports/clock.ts";
import { queryValue } from "../http/index.ts";
import { grantActor } from "./grant-actor.ts";
import { beginOrigin, withOrigin } from "./origin.ts";
import type { SignedPayload } from "./signed-payload.ts";
import { claimedBy, openSigner, type Signer } from "./signer.ts";
import { verifySigV4 } from "./sigv4.ts";
import { sigV4Scheme } from "./sigv4-key.ts";

export interface Caller {
  readonly actor: Actor;
  /** The body's SHA-256 as the signature says it, to be verified by who reads the body. */
  readonly bodySha256?: Uint8Array;
  /** The grant itself, of whom it stands for: the session token of what is signed for him. */
  readonly grant?: string;
}

export interface Gate {
  readonly accessKeys: AccessKeys;
  readonly clock: Clock;
}

export interface AuthenticateOptions {
  /** The front end that asks: put down with what the caller changes. */
  readonly protocol: string;
  /**
   * What the request asks for, where a header of the protocol says another method than the request
   * line: a grant's methods are judged by it. A signature is always of the method as sent.
   */
  readonly method?: string;
  /** The credential of the request where a protocol keeps it elsewhere, in the path. */
  readonly grant?: string | undefined;
}

/** `unauthenticated`, `expired`, `access_denied`; `invalid_request` for two credentials. */
export async function authenticate(
  gate: Gate,
  request: FastifyRequest,
  options: AuthenticateOptions,
): Promise<Caller> {
  const origin = beginOrigin(request, options.protocol);
  const caller = await callerOf(gate, request, options);
  return { ...caller, actor: withOrigin(caller.actor, request, origin) };
}

async function callerOf(
  gate: Gate,
  request: FastifyRequest,
  { method = request.method, grant: ofPath }: AuthenticateOptions,
): Promise<Caller> {
  const authorization = authorizationOf(request);
  const ofQuery = queryValue(request, "grant");
  const grant = ofPath ?? ofQuery;
  if (grant !== undefined) {
    if (authorization !== undefined || (ofPath !== undefined && ofQuery !== undefined)) {
      throw new OperationalError(
        "invalid_request",
        "the request has two credentials: a grant in its URL, and Authorization or another grant",
      );
    }
    return { actor: await grantActor(gate.accessKeys, grant, method), grant };
  }
  if (authorization === undefined) return { actor: anonymous };
  const [scheme = "", rest = ""] = splitAt(authorization.trim(), " ");
  switch (scheme.toLowerCase()) {
    case "basic":
      return { actor: await basicActor(gate, rest.trim()) };
    case "bearer":
      return bearerCaller(gate, rest.trim(), method);
    case sigV4Scheme.toLowerCase():
      return signedCaller(gate, request);
    default:
      throw new OperationalError(
        "unauthenticated",
        `Authorization must be Basic, Bearer or ${sigV4Scheme}`,
      );
  }
}

/** Node keeps only the first of several, which another hop may not. */
function authorizationOf(request: FastifyRequest): string | undefined {
  const { rawHeaders } = request.raw;
  const values = rawHeaders.filter(
    (_, index) => index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === "authorization",
  );
  if (values.length > 1) {
    throw new OperationalError("invalid_request", "the request has two Authorization headers");
  }
  return values[0];
}

async function basicActor(gate: Gate, encoded: string): Promise<Actor> {
  const bytes = Buffer.from(encoded, "base64");
  const [id, secret] = splitAt(bytes.toString("utf8"), ":");
  if (secret === undefined) {
    throw new OperationalError(
      "unauthenticated",
      "Authorization: Basic is not base64 of id:secret",
    );
  }
  return gate.accessKeys.authenticate(id, secret);
}

async function bearerCaller(gate: Gate, token: string, method: string): Promise<Caller> {
  if (looksLikeGrant(token)) {
    return { actor: await grantActor(gate.accessKeys, token, method), grant: token };
  }
  const [id, secret] = splitAt(token, ".");
  if (secret === undefined) {
    throw new OperationalError(
      "unauthenticated",
      "Authorization: Bearer is neither ID.SECRET nor a grant",
    );
  }
  return { actor: await gate.accessKeys.authenticate(id, secret) };
}

async function signedCaller(gate: Gate, request: FastifyRequest): Promise<Caller> {
  const { accessKeys, clock } = gate;
  let signer: Signer | undefined;
  const signed = {
    method: request.method,
    target: request.raw.url ?? "",
    rawHeaders: request.raw.rawHeaders,
  };
  const verifying = verifySigV4(signed, {
    now: clock.now(),
    signerOf: async (keyId, token) => {
      signer = await openSigner(accessKeys, keyId, token);
      return signer;
    },
    payloadHashOptional: true,
  });
  const { payload } = await verifying.catch((error: unknown) => {
    throw claimedBy(signer, error);
  });
  assert(signer !== undefined);
  return { actor: await signer.actor(request.method), ...signedBody(payload) };
}

function signedBody(payload: SignedPayload): { readonly bodySha256?: Uint8Array } {
  if (payload.kind === "streaming") {
    throw new OperationalError("unsupported", "x-amz-content-sha256: STREAMING-… is not supported");
  }
  return payload.kind === "sha256" ? { bodySha256: payload.digest } : {};
}

/** At the first separator; one item when it has none. */
function splitAt(text: string, separator: string): readonly [string, string?] {
  const at = text.indexOf(separator);
  return at === -1 ? [text] : [text.slice(0, at), text.slice(at + separator.length)];
}
