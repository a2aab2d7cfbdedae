/**
 * The address of an object in a request target: `/v1/objects/{bucket}/{key…}`. It is decoded once,
 * here, from the target as it was sent, and goes through core's one normaliser.
 */
import type { FastifyRequest } from "fastify";
import { OperationalError } from "../../core/errors.ts";
import { parseBucketName, parseKey } from "../../core/object-key.ts";
import type { ObjectAddress } from "../../core/objects.ts";
import { percentDecoded } from "../../http/index.ts";

/** Where the protocol is mounted. */
export const basePath = "/v1";

/** `invalid_key` for a key that breaks a rule, or is not percent-encoded UTF-8. */
export function objectAddress(request: FastifyRequest): ObjectAddress {
  const [bucket = "", ...key] = segmentsAfter(request, 2);
  const decoded = percentDecoded(key.join("/"));
  if (decoded === undefined) {
    throw new OperationalError("invalid_key", "key is not percent-encoded UTF-8");
  }
  return { bucket: bucketName(bucket), key: parseKey(decoded) };
}

/** The bucket of `/v1/objects/{bucket}` and `/v1/buckets/{bucket}`. */
export function bucketOf(request: FastifyRequest): string {
  return bucketName(segmentsAfter(request, 2)[0] ?? "");
}

/** The id in `/v1/keys/{id}`, `/v1/storages/{id}/test` and their kin. */
export function idOf(request: FastifyRequest): string {
  const id = percentDecoded(segmentsAfter(request, 2)[0] ?? "");
  if (id === undefined) throw new OperationalError("invalid_request", "id is not percent-encoded");
  return id;
}

/** The number in `/v1/uploads/{id}/parts/{number}`. */
export function partNumberOf(request: FastifyRequest): number {
  const text = segmentsAfter(request, 2)[2] ?? "";
  return /^[1-9]\d{0,8}$/.test(text) ? Number(text) : Number.NaN;
}

/** The object's own path, with every character encoded that could be misread. */
export function objectPath(bucket: string, key: string): string {
  return `${basePath}/objects/${encodeURIComponent(bucket)}/${encodePath(key)}`;
}

export function encodePath(text: string): string {
  return text.split("/").map(encodeURIComponent).join("/");
}

function bucketName(raw: string): string {
  const name = percentDecoded(raw);
  if (name === undefined) {
    throw new OperationalError("invalid_request", "bucket name is not percent-encoded UTF-8");
  }
  return parseBucketName(name);
}

/** The segments after the first `count`, still encoded: `/v1` and `objects` are two. */
function segmentsAfter(request: FastifyRequest, count: number): readonly string[] {
  const target = request.raw.url ?? "";
  // RFC 9112 §3.2.2: a server accepts the absolute form too.
  const path = target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, "").split("?", 1)[0] ?? "";
  if (path.includes("#")) {
    throw new OperationalError("invalid_request", "the request target has a fragment");
  }
  return path.split("/").slice(1 + count);
}
