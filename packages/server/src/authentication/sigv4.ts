/**
 * AWS Signature Version 4 in the `Authorization` header, verified over the request target exactly as
 * it was sent. Knows nothing of the protocol: the caller brings the secrets and answers the errors.
 */
import type { OperationalError } from "../core/errors.ts";
import {
  canonicalPairs,
  type HeaderValues,
  headerValues,
  type SignedRequest,
  splitTarget,
} from "./canonical-request.ts";
import { type S3Reason, S3Refusal } from "./s3-refusal.ts";
import { type DeclaredPayload, parsePayloadHash, verifiedPayload } from "./signed-payload.ts";
import {
  amzDate,
  type CredentialScope,
  emptySha256,
  parseAmzDate,
  parseCredential,
  sigV4SkewMsMax,
} from "./sigv4-key.ts";
import {
  assertAllSigned,
  parseSignedHeaders,
  type SigV4Options,
  type VerifiedSignature,
  verifySignature,
} from "./sigv4-signature.ts";

export interface SigV4HeaderOptions extends SigV4Options {
  /**
   * Also takes requests without `x-amz-content-sha256` that were signed as if they had no body, as
   * curl before 8 signs every GET and `-T`. Their body counts as unsigned.
   */
  readonly payloadHashOptional?: boolean;
}

/**
 * `unauthenticated` for an unknown key, a wrong signature, an unsigned header that must be signed,
 * or a date more than 15 minutes off; `invalid_request` for what cannot be read; `unsupported` for
 * SigV4A's chunks.
 */
export async function verifySigV4(
  request: SignedRequest,
  options: SigV4HeaderOptions,
): Promise<VerifiedSignature> {
  const headers = headerValues(request.rawHeaders);
  const parts = parseAuthorization(only(headers, "authorization"), options.region);
  assertAllSigned(headers, parts.signedHeaders);
  const date = signedDate(headers);
  assertFresh(date, parts.scope.day, options.now);
  const unhashed = options.payloadHashOptional === true && !headers.has("x-amz-content-sha256");
  const payloadHash = unhashed ? emptySha256 : only(headers, "x-amz-content-sha256");
  const declared: DeclaredPayload = unhashed ? { kind: "unsigned" } : parsePayloadHash(payloadHash);
  const query = canonicalPairs(splitTarget(request.target).query);
  const claim = { ...parts, date, headers, query, payloadHash };
  const seed = await verifySignature(request, claim, options).catch((error: unknown) => {
    throw unhashed && error instanceof S3Refusal ? withoutHash(error) : error;
  });
  return { keyId: parts.scope.keyId, payload: verifiedPayload(declared, seed) };
}

interface Authorization {
  readonly scope: CredentialScope;
  readonly signedHeaders: readonly string[];
  readonly signature: string;
}

function parseAuthorization(value: string, region: string | undefined): Authorization {
  const fields = new Map<string, string>();
  const list = /^AWS4-HMAC-SHA256[ ]+(.+)$/.exec(value)?.[1] ?? "";
  for (const field of list.split(",", 10)) {
    const end = field.indexOf("=");
    const name = field.slice(0, Math.max(end, 0)).trim();
    if (fields.has(name)) throw malformed(`Authorization has ${name} twice`);
    fields.set(name, field.slice(end + 1).trim());
  }
  const scope = parseCredential(fields.get("Credential") ?? "", {
    reason: malformedReason,
    name: "Authorization: Credential",
    region,
  });
  const signedHeaders = parseSignedHeaders(fields.get("SignedHeaders") ?? "");
  if (signedHeaders === undefined) {
    throw malformed("Authorization: SignedHeaders is not a list of lower-case names");
  }
  const signature = fields.get("Signature") ?? "";
  if (!/^[0-9a-f]{64}$/.test(signature)) {
    throw malformed("Authorization: Signature is not 64 hexadecimal digits");
  }
  return { scope, signedHeaders, signature };
}

function signedDate(headers: HeaderValues): Date {
  const name = headers.has("x-amz-date") ? "x-amz-date" : "date";
  const text = only(headers, name, "AccessDenied");
  const date = parseAmzDate(text) ?? (name === "date" ? new Date(text) : undefined);
  if (date === undefined || Number.isNaN(date.getTime())) {
    const what = name === "date" ? "Date is not a date" : "x-amz-date is not yyyymmddThhmmssZ";
    throw new S3Refusal("AccessDenied", what, { code: "invalid_request" });
  }
  return date;
}

function assertFresh(date: Date, day: string, now: Date): void {
  if (Math.abs(date.getTime() - now.getTime()) > sigV4SkewMsMax) {
    const serverTime = now.toISOString();
    throw new S3Refusal(
      "RequestTimeTooSkewed",
      "the signature's date is more than 15 minutes from the server's time",
      {
        fields: {
          RequestTime: amzDate(date),
          ServerTime: serverTime,
          MaxAllowedSkewMilliseconds: String(sigV4SkewMsMax),
        },
        context: { serverTime },
      },
    );
  }
  if (amzDate(date).slice(0, 8) !== day) {
    throw malformed("Authorization: the day in Credential is not that of x-amz-date");
  }
}

/** The header's one value; absent or twice: `invalid_request`, under the reason. */
function only(headers: HeaderValues, name: string, reason: S3Reason = "InvalidRequest"): string {
  const values = headers.get(name) ?? [];
  const [value] = values;
  if (value === undefined || values.length > 1) {
    const what = `header ${name} must be there once`;
    throw new S3Refusal(reason, what, { code: "invalid_request" });
  }
  return value;
}

function withoutHash({ reason, message }: S3Refusal): S3Refusal {
  const hint = "without x-amz-content-sha256 no body can be signed";
  return new S3Refusal(reason, `${message}; ${hint}`);
}

const malformedReason = "AuthorizationHeaderMalformed";

function malformed(what: string): OperationalError {
  return new S3Refusal(malformedReason, what);
}
