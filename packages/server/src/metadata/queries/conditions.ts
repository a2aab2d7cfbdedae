/** Conditions of a write, judged on what it would replace. */
import { OperationalError } from "../../core/errors.ts";
import type { ObjectRecord, WriteConditions } from "../../core/ports/metadata-store.ts";

interface ObjectAddress {
  readonly bucket: string;
  readonly key: string;
}

/** `precondition_failed`. */
export function assertConditions(
  address: ObjectAddress,
  existing: ObjectRecord | undefined,
  { ifAbsent, ifMatch, ifVersion }: WriteConditions,
): void {
  if (ifAbsent === true && existing !== undefined) throw preconditionFailed(address, "exists");
  if (ifMatch !== undefined) {
    if (existing === undefined) throw preconditionFailed(address, "does not exist");
    if (ifMatch !== "*" && !ifMatch.includes(existing.etag)) {
      throw preconditionFailed(address, `has the etag "${existing.etag}"`);
    }
  }
  if (ifVersion !== undefined && existing?.version !== ifVersion) {
    throw preconditionFailed(address, `is no longer version ${ifVersion}`);
  }
}

function preconditionFailed({ bucket, key }: ObjectAddress, what: string): OperationalError {
  return new OperationalError("precondition_failed", `object "${key}" ${what}`, {
    context: { bucket, key },
  });
}
