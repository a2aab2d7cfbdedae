/** Conditions of a write, as core judges them inside the transaction. None is passed over. */
import type { FastifyRequest } from "fastify";
import { OperationalError } from "../../core/errors.ts";
import type { WriteConditions } from "../../core/ports/metadata-store.ts";
import { writePreconditions } from "../../http/index.ts";
import { present } from "./present.ts";

/** `invalid_request` and `unsupported` for what could only be ignored. */
export function writeConditions(request: FastifyRequest): WriteConditions {
  const { ifAbsent, ifMatch, ifNoneMatch, ifUnmodifiedSinceMs } = writePreconditions(
    request.headers,
  );
  if (ifNoneMatch !== undefined) {
    throw new OperationalError("invalid_request", "If-None-Match of a write must be *", {
      context: { header: "If-None-Match" },
    });
  }
  if (ifUnmodifiedSinceMs !== undefined) {
    throw new OperationalError(
      "unsupported",
      "If-Unmodified-Since of a write is too coarse to be safe; use If-Match",
      { context: { header: "If-Unmodified-Since" } },
    );
  }
  return present({ ifAbsent, ifMatch });
}
