/** What a refused request is put down to: whoever its credential showed, or which key it claimed to be of. */
import type { FastifyRequest } from "fastify";
import { authorOf } from "../core/author.ts";
import type { OperationalError } from "../core/errors.ts";
import type { Author, Refusal } from "../core/ports/metadata-store.ts";
import { refusalFacts } from "../core/refusal-facts.ts";
import { seenOf } from "./origin.ts";

/** `undefined` where it is nobody's: no credential, or one of a key that there is not. */
export function refusalOf(
  error: OperationalError,
  request: FastifyRequest,
): Omit<Refusal, "at"> | undefined {
  const { claimedKeyId, ...facts } = refusalFacts(error);
  const { actor, origin } = seenOf(request);
  const claimed: Author | undefined =
    claimedKeyId === undefined
      ? undefined
      : { kind: "key", id: claimedKeyId, grantId: null, context: null, origin };
  const author = claimed ?? (actor === undefined ? undefined : authorOf(actor));
  if (author === undefined || author.kind === "anonymous") return undefined;
  return { ...placeOf(error), ...facts, author, code: error.code };
}

/** As the store said it, which knows no actor. */
function placeOf({ context }: OperationalError): {
  readonly bucket?: string;
  readonly key?: string;
} {
  const { bucket, key } = context;
  return {
    ...(typeof bucket === "string" ? { bucket } : {}),
    ...(typeof key === "string" ? { key } : {}),
  };
}
