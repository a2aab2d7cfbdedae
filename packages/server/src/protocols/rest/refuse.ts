/** Refusals that say more than their error: of forms, of uploads, and of what is not there. */
import type { FastifyReply, FastifyRequest } from "fastify";
import { OperationalError } from "../../core/errors.ts";
import { errorHandler } from "../../http/index.ts";
import { type RefusalDetails, renderRestError } from "./errors.ts";

interface Refused {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
}

/** With the files of the form that were stored before something went wrong with a later one. */
export function refuseForm(error: unknown, stored: readonly string[], refused: Refused): void {
  refuse(error, refused, { members: { stored } });
}

/** 405 where the path exists, with what it offers in `Allow`; 404 elsewhere. */
export function refuseRoute(allowed: readonly string[], refused: Refused): void {
  const allow = allowed.join(", ");
  if (allowed.length === 0) {
    const error = new OperationalError("unsupported", "the path is not one of this protocol");
    refuse(error, refused, { status: 404, title: "There is nothing at this path" });
    return;
  }
  const error = new OperationalError("unsupported", `the path offers ${allow}`);
  refuse(error, refused, { status: 405, title: "Not for this method", headers: { allow } });
}

/** By the table, with what the details say more or otherwise. */
export function refuse(error: unknown, { request, reply }: Refused, details: RefusalDetails): void {
  const handle = errorHandler((operational) => renderRestError(operational, request, details));
  handle(error, request, reply);
}
