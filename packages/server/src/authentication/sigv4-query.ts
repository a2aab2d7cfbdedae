/**
 * AWS Signature Version 4 in the query: presigned URLs. Good for the one method, address and headers
 * that were signed, from its date until it expires; everything in the query but the signature is signed.
 */
import type { OperationalError } from "../core/errors.ts";
import {
  type CanonicalPair,
  canonicalPairs,
  type HeaderValues,
  headerValues,
  type SignedRequest,
  splitTarget,
} from "./canonical-request.ts";
import { S3Refusal } from "./s3-refusal.ts";
import { parsePayloadHash, unsignedPayload, verifiedPayload } from "./signed-payload.ts";
import {
  amzDate,
  parseAmzDate,
  parseCredential,
  sigV4Scheme,
  sigV4SkewMsMax,
} from "./sigv4-key.ts";
import {
  assertAllSigned,
  parseSignedHeaders,
  type SigV4Options,
  type VerifiedSignature,
  verifySignature,
} from "./sigv4-signature.ts";

export const presignedSecondsMax = 604_800;

/** Decoded parameters by lower-case name. */
export type PresignedParameters = ReadonlyMap<string, string>;

export interface VerifiedPresigned extends VerifiedSignature {
  /** The signed `x-amz-*` parameters, the signature's own among them. */
  readonly parameters: PresignedParameters;
}

/**
 * `invalid_request` (`AuthorizationQueryParametersError`) for what cannot be read, `expired` and
 * `unauthenticated` (`AccessDenied`) for one whose time is over or not yet come; otherwise as the
 * header's form.
 */
export async function verifySigV4Query(
  request: SignedRequest,
  options: SigV4Options,
): Promise<VerifiedPresigned> {
  const query = canonicalPairs(splitTarget(request.target).query);
  const parameters = amzParameters(query);
  const headers = headerValues(request.rawHeaders);
  const algorithm = required(parameters, "X-Amz-Algorithm");
  if (algorithm !== sigV4Scheme) throw malformed(`X-Amz-Algorithm is not ${sigV4Scheme}`);
  const scope = parseCredential(required(parameters, "X-Amz-Credential"), {
    reason: malformedReason,
    name: "X-Amz-Credential",
    region: options.region,
  });
  const signedHeaders = parseSignedHeaders(required(parameters, "X-Amz-SignedHeaders"));
  if (signedHeaders === undefined) {
    throw malformed("X-Amz-SignedHeaders is not a list of lower-case names");
  }
  const signature = required(parameters, "X-Amz-Signature");
  if (!/^[0-9a-f]{64}$/.test(signature)) {
    throw malformed("X-Amz-Signature is not 64 hexadecimal digits");
  }
  const date = parseAmzDate(required(parameters, "X-Amz-Date"));
  if (date === undefined) throw malformed("X-Amz-Date is not yyyymmddThhmmssZ");
  if (amzDate(date).slice(0, 8) !== scope.day) {
    throw malformed("the day in X-Amz-Credential is not that of X-Amz-Date");
  }
  assertInTime(date, lifetimeSeconds(required(parameters, "X-Amz-Expires")), options.now);
  assertAllSigned(headers, signedHeaders);
  const payloadHash = payloadHashOf(parameters, headers);
  const declared = parsePayloadHash(payloadHash);
  const unsigned = query.filter(([name]) => name.toLowerCase() !== "x-amz-signature");
  const claim = {
    ...{ scope, date, headers, query: unsigned, signedHeaders, payloadHash, signature },
    token: parameters.get("x-amz-security-token"),
  };
  const seed = await verifySignature(request, claim, options);
  return { keyId: scope.keyId, payload: verifiedPayload(declared, seed), parameters };
}

/** Whether the query holds any sign of this mechanism, complete or not. */
export function isPresigned(target: string): boolean {
  return canonicalPairs(splitTarget(target).query).some(([name]) =>
    /^x-amz-(?:algorithm|credential|signature)$/i.test(name),
  );
}

function amzParameters(query: readonly CanonicalPair[]): PresignedParameters {
  const parameters = new Map<string, string>();
  for (const [encoded, value] of query) {
    const name = decoded(encoded, encoded).toLowerCase();
    if (!name.startsWith("x-amz-")) continue;
    if (parameters.has(name)) throw malformed(`query parameter ${encoded} is given twice`);
    parameters.set(name, decoded(encoded, value));
  }
  return parameters;
}

/** Of the canonical form, so that what was signed is what is read: a plus is a space. */
function decoded(name: string, value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    throw malformed(`query parameter ${name} is not percent-encoded UTF-8`);
  }
}

function required(parameters: PresignedParameters, name: string): string {
  const value = parameters.get(name.toLowerCase());
  if (value === undefined || value === "") {
    throw malformed(`query parameter ${name} is missing`);
  }
  return value;
}

function lifetimeSeconds(text: string): number {
  if (!/^-?\d{1,15}$/.test(text)) throw malformed("X-Amz-Expires is not a number of seconds");
  const seconds = Number(text);
  if (seconds < 1 || seconds > presignedSecondsMax) {
    throw malformed(`X-Amz-Expires must be from 1 to ${presignedSecondsMax} seconds`);
  }
  return seconds;
}

function assertInTime(date: Date, seconds: number, now: Date): void {
  if (date.getTime() > now.getTime() + sigV4SkewMsMax) {
    throw new S3Refusal("AccessDenied", "Request is not valid yet");
  }
  const expires = new Date(date.getTime() + seconds * 1000);
  if (now <= expires) return;
  throw new S3Refusal("AccessDenied", "Request has expired", {
    fields: {
      Expires: expires.toISOString(),
      ServerTime: now.toISOString(),
    },
  });
}

function payloadHashOf(parameters: PresignedParameters, headers: HeaderValues): string {
  const inQuery = parameters.get("x-amz-content-sha256");
  const inHeader = headers.get("x-amz-content-sha256") ?? [];
  const hashes = new Set(inQuery === undefined ? inHeader : [inQuery, ...inHeader]);
  if (hashes.size > 1) throw malformed("x-amz-content-sha256 has two values");
  return [...hashes][0] ?? unsignedPayload;
}

const malformedReason = "AuthorizationQueryParametersError";

function malformed(what: string): OperationalError {
  return new S3Refusal(malformedReason, what);
}
