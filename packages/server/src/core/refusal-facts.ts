/**
 * What is known of a refusal beside what its caller is told: for the audit log. Kept apart from the error's
 * context, which goes out to the client.
 */
import type { OperationalError } from "./errors.ts";

export interface RefusalFacts {
  /** What a policy would have had to permit. */
  readonly permission?: string;
  readonly bucket?: string;
  readonly key?: string;
  /** The access key that the credential claimed to be of, and that there is; never what is no key's id. */
  readonly claimedKeyId?: string;
}

const factsOf = new WeakMap<OperationalError, RefusalFacts>();

/** Answers the error. */
export function withFacts<Refused extends OperationalError>(
  error: Refused,
  facts: RefusalFacts,
): Refused {
  factsOf.set(error, { ...factsOf.get(error), ...facts });
  return error;
}

export function refusalFacts(error: OperationalError): RefusalFacts {
  return factsOf.get(error) ?? {};
}
