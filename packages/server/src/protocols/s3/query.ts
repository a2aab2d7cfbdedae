/**
 * The query of a request, decoded once from the target as it was sent. Names are told apart by case, as
 * S3 does; a name that is given twice counts as given once only where nobody asks for its value.
 */
import type { FastifyRequest } from "fastify";
import { percentDecoded } from "../../http/index.ts";
import { refusal } from "./s3-codes.ts";

export interface S3Query {
  /** In order of appearance, each once. */
  readonly names: readonly string[];
  has(name: string): boolean;
  /** `InvalidArgument` for one that is given twice. Empty where the name came without a value. */
  get(name: string): string | undefined;
  /** A whole number; beyond `max` it counts as `max`. `InvalidArgument` for anything else, and below `min`. */
  integer(
    name: string,
    bounds: { readonly min: number; readonly max: number; readonly otherwise: number },
  ): number;
}

/** `InvalidURI` when it is not percent-encoded UTF-8. */
export function parseQuery(request: FastifyRequest): S3Query {
  const target = request.raw.url ?? "";
  const start = target.indexOf("?");
  const values = new Map<string, string[]>();
  for (const pair of start === -1 ? [] : target.slice(start + 1).split("&")) {
    if (pair === "") continue;
    const end = pair.indexOf("=");
    const name = decoded(end === -1 ? pair : pair.slice(0, end));
    const value = decoded(end === -1 ? "" : pair.slice(end + 1));
    const before = values.get(name);
    if (before === undefined) values.set(name, [value]);
    else before.push(value);
  }
  const get = (name: string): string | undefined => {
    const found = values.get(name);
    if (found !== undefined && found.length > 1) throw wrongArgument(name, "", "is given twice");
    return found?.[0];
  };
  return {
    names: [...values.keys()],
    has: (name) => values.has(name),
    get,
    integer: (name, { min, max, otherwise }) => {
      const text = get(name);
      // Clients that have nothing to say send an empty one.
      if (text === undefined || text === "") return otherwise;
      const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
      if (!(value >= min)) throw wrongArgument(name, text, `must be a whole number from ${min}`);
      return Math.min(value, max);
    },
  };
}

/** `InvalidArgument`, with the fields that AWS names in it. */
export function wrongArgument(name: string, value: string, what: string) {
  return refusal("InvalidArgument", `${name} ${what}`, {
    fields: { ArgumentName: name, ...(value === "" ? {} : { ArgumentValue: value }) },
  });
}

/** A plus is a space, as in forms: clients that mean a plus send `%2B`. */
function decoded(text: string): string {
  const value = percentDecoded(text.replaceAll("+", " "));
  if (value === undefined) {
    throw refusal("InvalidURI", "the query is not percent-encoded UTF-8");
  }
  return value;
}
