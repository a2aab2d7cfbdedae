/** The actor of a request, with how the request came: what is put down with all that it changes. */
import type { FastifyRequest } from "fastify";
import type { Actor } from "../core/access.ts";
import { clientAddress } from "../http/index.ts";

export function withOrigin(actor: Actor, request: FastifyRequest, protocol: string): Actor {
  const origin = { ...clientAddress(request), requestId: request.id, protocol };
  return { ...actor, origin };
}
