/** How a request came and whose it is: what is put down with all that it changes, and with its refusal. */
import type { IncomingMessage } from "node:http";
import type { FastifyRequest } from "fastify";
import type { Actor } from "../core/access.ts";
import type { RequestOrigin } from "../core/ports/author.ts";
import { clientAddress, requestScope } from "../http/index.ts";

interface Seen {
  readonly origin: RequestOrigin | null;
  /** Once its credential was verified. */
  readonly actor?: Actor;
}

const seen = new WeakMap<IncomingMessage, Seen>();

/** Before the credential is looked at. */
export function beginOrigin(request: FastifyRequest, protocol: string): RequestOrigin {
  const origin = { ...clientAddress(request), requestId: request.id, protocol };
  seen.set(request.raw, { origin });
  return origin;
}

/** Of a verified credential. `rate_limited` when its key asked too often. */
export function withOrigin(
  actor: Actor,
  request: FastifyRequest,
  origin: RequestOrigin | string,
): Actor {
  if (actor.kind !== "anonymous") requestScope(request).runtime.overload.takeKey(actor.keyId);
  const from = typeof origin === "string" ? beginOrigin(request, origin) : origin;
  const known = { ...actor, origin: from };
  seen.set(request.raw, { origin: from, actor: known });
  return known;
}

export function seenOf(request: FastifyRequest): Seen {
  return seen.get(request.raw) ?? { origin: null };
}
