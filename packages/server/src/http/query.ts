/**
 * Query parameters, decoded once from the request's own target. What is unknown is ignored; what is
 * known and malformed, or given twice, is refused.
 */
import type { FastifyRequest } from "fastify";
import { OperationalError } from "../core/errors.ts";

/** `invalid_request` when it is given twice or is not percent-encoded UTF-8. */
export function queryValue(request: FastifyRequest, name: string): string | undefined {
  const target = request.raw.url ?? "";
  const start = target.indexOf("?");
  if (start === -1) return undefined;
  let value: string | undefined;
  for (const pair of target.slice(start + 1).split("&")) {
    const end = pair.indexOf("=");
    const rawName = end === -1 ? pair : pair.slice(0, end);
    if (decodeOrUndefined(rawName) !== name) continue;
    if (value !== undefined) throw badParameter(name, "is given twice");
    value = decodeOrUndefined(end === -1 ? "" : pair.slice(end + 1));
    if (value === undefined) throw badParameter(name, "is not percent-encoded UTF-8");
  }
  return value;
}

export function hasQuery(request: FastifyRequest, name: string): boolean {
  return queryValue(request, name) !== undefined;
}

/** A whole number within bounds; `invalid_request` names the parameter and the bounds. */
export function queryInteger(
  request: FastifyRequest,
  name: string,
  bounds: { readonly min: number; readonly max: number; readonly otherwise: number },
): number {
  const text = queryValue(request, name);
  if (text === undefined) return bounds.otherwise;
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= bounds.min && value <= bounds.max) return value;
  throw badParameter(name, `must be a whole number from ${bounds.min} to ${bounds.max}`);
}

export function badParameter(name: string, what: string): OperationalError {
  return new OperationalError("invalid_request", `query parameter ${name} ${what}`, {
    context: { parameter: name },
  });
}

function decodeOrUndefined(text: string): string | undefined {
  return percentDecoded(text.replaceAll("+", " "));
}

/**
 * Percent-decoding of UTF-8, strict. Bytes above ASCII that came without encoding, as some clients
 * send them, count as the UTF-8 they are. `undefined` when it is neither.
 */
export function percentDecoded(text: string): string | undefined {
  const encoded = text.replace(
    /[\x80-\xff]/g,
    (character) => `%${character.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
  try {
    return decodeURIComponent(encoded);
  } catch {
    return undefined;
  }
}
