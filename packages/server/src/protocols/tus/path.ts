/** The paths of the protocol: `/tus/{bucket}` makes uploads, `/tus/{bucket}/{id}` is one. */
import type { FastifyRequest } from "fastify";

/** Where the protocol is mounted. */
export const basePath = "/tus";

/** Decoded; empty where the path has no such segment. */
export function pathParameter(request: FastifyRequest, name: "bucket" | "id"): string {
  const { params } = request;
  if (typeof params !== "object" || params === null) return "";
  const value: unknown = Object.getOwnPropertyDescriptor(params, name)?.value;
  return typeof value === "string" ? value : "";
}
