/** The method that counts: `X-HTTP-Method-Override` replaces the request line's, whatever that is. */
import type { FastifyRequest } from "fastify";
import { field } from "./fields.ts";

export function effectiveMethod(request: FastifyRequest): string {
  const override = field(request, "X-HTTP-Method-Override");
  return override === undefined ? request.method : override.toUpperCase();
}
