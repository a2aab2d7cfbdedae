/** A declared content type, checked before it can reach a stored record or a header. */
import { OperationalError } from "../../core/errors.ts";
import { isContentType } from "../../http/index.ts";

/** `invalid_request` unless it is `type/subtype` with, at most, parameters in ASCII. */
export function contentTypeField(value: string | undefined): string | undefined {
  if (value === undefined || value === "") return undefined;
  if (isContentType(value)) return value.trim();
  throw new OperationalError("invalid_request", "Content-Type is not a type like image/png", {
    context: { header: "Content-Type" },
  });
}
