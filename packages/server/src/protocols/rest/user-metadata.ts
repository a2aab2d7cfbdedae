/**
 * User metadata in `Roma-Meta-NAME` fields. A value is Unicode text in percent-encoding: plain ASCII
 * reads as it is, `%` and all that HTTP cannot carry are encoded.
 */
import type { FastifyRequest } from "fastify";
import { OperationalError } from "../../core/errors.ts";
import { percentDecoded } from "../../http/index.ts";

const fieldPrefix = "roma-meta-";

/** Whether a field's name is that of user metadata; any case. */
export function isMetadataField(name: string): boolean {
  return name.toLowerCase().startsWith(fieldPrefix);
}

/** The name within the metadata: `Roma-Meta-Author` is `author`. */
export function metadataName(field: string): string {
  return field.toLowerCase().slice(fieldPrefix.length);
}

/** `invalid_request` names the field. */
export function metadataOf(request: FastifyRequest): Readonly<Record<string, string>> {
  const metadata = emptyMetadata();
  for (const [field, value] of Object.entries(request.raw.headers)) {
    if (!field.startsWith(fieldPrefix) || typeof value !== "string") continue;
    const decoded = percentDecoded(value);
    if (decoded === undefined) {
      throw new OperationalError("invalid_request", `${field} is not percent-encoded UTF-8`, {
        context: { header: field },
      });
    }
    metadata[metadataName(field)] = decoded;
  }
  return metadata;
}

/** Without a prototype, so that no name (`__proto__`) means anything but itself. */
export function emptyMetadata(): Record<string, string> {
  return Object.create(null);
}
