/**
 * The fields of tus, read strictly: what is not exactly of a field's grammar is `invalid_request` and
 * named. `Number()` would take `0x1`, `1e3` and an empty text for numbers.
 */
import type { FastifyRequest } from "fastify";
import { OperationalError } from "../../core/errors.ts";

export const tusVersion = "1.0.0";

/** Of a request whose body is bytes of an upload. */
export const bytesType = "application/offset+octet-stream";

/** As it came; Node joins fields that were sent twice with a comma, which no grammar here takes. */
export function field(request: FastifyRequest, name: string): string | undefined {
  const value = request.raw.headers[name.toLowerCase()];
  return typeof value === "object" ? value.join(", ") : value;
}

export function badField(name: string, why: string): OperationalError {
  return new OperationalError("invalid_request", `${name} ${why}`, { context: { header: name } });
}

/** Decimal digits, up to 2^53-1. */
export function wholeNumber(request: FastifyRequest, name: string): number | undefined {
  const text = field(request, name);
  if (text === undefined) return undefined;
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value)) return value;
  throw badField(name, "is not a whole number of bytes in decimal digits");
}

/** `Upload-Offset`, which every `PATCH` must have. */
export function offsetField(request: FastifyRequest): number {
  const offset = wholeNumber(request, "Upload-Offset");
  if (offset === undefined) throw badField("Upload-Offset", "is missing");
  return offset;
}

/** What a new upload says of its length: exactly one of `Upload-Length` and `Upload-Defer-Length: 1`. */
export function announcedLength(request: FastifyRequest): number | "deferred" {
  const length = wholeNumber(request, "Upload-Length");
  const defer = field(request, "Upload-Defer-Length");
  if (defer !== undefined && defer !== "1") throw badField("Upload-Defer-Length", "is not 1");
  if (length !== undefined && defer !== undefined) {
    throw badField("Upload-Length", "and Upload-Defer-Length exclude each other");
  }
  if (length !== undefined) return length;
  if (defer === undefined) {
    throw badField("Upload-Length", "is missing, and Upload-Defer-Length too");
  }
  return "deferred";
}

/** Whether `Content-Type` says that the body is bytes of an upload. */
export function hasBytesType(request: FastifyRequest): boolean {
  const [type = ""] = (request.raw.headers["content-type"] ?? "").split(";", 1);
  return type.trim().toLowerCase() === bytesType;
}

/** 415: a body of another type is refused before anything is done with it. */
export function badContentType(): OperationalError {
  return new OperationalError("content_type_refused", `Content-Type is not ${bytesType}`, {
    context: { header: "Content-Type" },
  });
}
