/** `/companion/s3/…`, and for clients that can send no header `/companion/~GRANT/s3/…`. */
import type { FastifyRequest } from "fastify";
import { type ObjectKey, parseKey } from "../../core/object-key.ts";
import { badParameter, queryValue } from "../../http/index.ts";

const withGrant = /^\/companion\/~([^/?]*)/;

export function grantOfPath(request: FastifyRequest): string | undefined {
  return withGrant.exec(request.raw.url ?? "")?.[1];
}

export function pathParameter(request: FastifyRequest, name: "uploadId" | "partNumber"): string {
  const { params } = request;
  if (typeof params !== "object" || params === null) return "";
  const value: unknown = Object.getOwnPropertyDescriptor(params, name)?.value;
  return typeof value === "string" ? value : "";
}

/** The key that the client was told when its upload was begun. */
export function keyParameter(request: FastifyRequest): ObjectKey {
  const key = queryValue(request, "key");
  if (key === undefined) throw badParameter("key", "is missing");
  return parseKey(key);
}
