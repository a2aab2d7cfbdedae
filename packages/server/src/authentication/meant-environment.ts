/**
 * The environment that a request means, and whether it may change anything: asked by every protocol once the
 * credential of the request is known, and before its handler runs.
 */
import { environmentHeader } from "@roma/contract";
import type { FastifyRequest } from "fastify";
import { type DataEnvironment, parseEnvironment } from "../core/environment.ts";

/** `environment_mismatch`, `read_only`; `invalid_request` for a header that is no label. */
export function assertMeant(
  environment: DataEnvironment,
  request: FastifyRequest,
  { changes }: { readonly changes: boolean },
): void {
  const field = request.headers[environmentHeader];
  const stated =
    field === undefined ? undefined : parseEnvironment(String(field), "Roma-Environment");
  environment.assertMeant({ stated, ofBucket: undefined, changes });
}

/** Whether a request with this method is one that changes something. */
export function isChange(method: string): boolean {
  return method !== "GET" && method !== "HEAD";
}
