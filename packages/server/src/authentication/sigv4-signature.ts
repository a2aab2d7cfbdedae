/**
 * The step that header and query form of AWS V4 share: the one signature of a request, computed again
 * and compared. Whoever passes has proved that the key's secret signed exactly this request.
 */
import {
  type CanonicalPair,
  canonicalRequest,
  type HeaderValues,
  type SignedRequest,
  splitTarget,
} from "./canonical-request.ts";
import { S3Refusal } from "./s3-refusal.ts";
import type { ChunkSeed, SignedPayload } from "./signed-payload.ts";
import {
  amzDate,
  type CredentialScope,
  hmac,
  isSignature,
  scopeText,
  sha256Hex,
  signingKey,
  sigV4Scheme,
} from "./sigv4-key.ts";

/** Where the client may have sent the request to, which a proxy may have changed on the way. */
export interface SignedAddress {
  /** As in `Host`: with the port, unless it is the scheme's own. Left out: as it was received. */
  readonly host?: string;
  /** What the proxy took off the path: `/roma`, or empty. */
  readonly prefix: string;
}

export const addressAsReceived: SignedAddress = { prefix: "" };

export interface SigV4Options {
  /**
   * Of a key that may be used, with the session token that came with it; `undefined` otherwise. The same
   * object as long as its secret is.
   */
  readonly signerOf: (
    keyId: string,
    token: string | undefined,
  ) => Promise<{ readonly secret: string } | undefined>;
  readonly now: Date;
  /** The only one that a scope may name, beside `us-east-1` and `auto`; left out: any. */
  readonly region?: string;
  /** One after the other; each leads to the same resource. Left out: the address as received. */
  readonly addresses?: () => Iterable<SignedAddress>;
}

export interface VerifiedSignature {
  readonly keyId: string;
  readonly payload: SignedPayload;
}

export interface Claim {
  readonly scope: CredentialScope;
  readonly date: Date;
  readonly headers: HeaderValues;
  /** Without the signature itself. */
  readonly query: readonly CanonicalPair[];
  readonly signedHeaders: readonly string[];
  readonly payloadHash: string;
  /** In hex, 64 digits. */
  readonly signature: string;
  /** The session token in the query; one among the headers is found there. */
  readonly token?: string | undefined;
}

/** Signs for whom nobody knows, so that an unknown key costs the same work as a wrong signature. */
const nobody = { secret: "" };

/** `unauthenticated`: `InvalidAccessKeyId` or `SignatureDoesNotMatch`. */
export async function verifySignature(
  request: SignedRequest,
  claim: Claim,
  { signerOf, addresses = () => [addressAsReceived] }: SigV4Options,
): Promise<ChunkSeed> {
  const { scope, signature } = claim;
  const token = claim.token ?? claim.headers.get("x-amz-security-token")?.join(",");
  const signer = await signerOf(scope.keyId, token);
  const key = signingKey(signer ?? nobody, scope);
  const date = amzDate(claim.date);
  const { path } = splitTarget(request.target);
  const isSignedFor = ({ host, prefix }: SignedAddress): boolean => {
    const { method } = request;
    const canonical = canonicalRequest({ ...claim, method, host, path: `${prefix}${path}` });
    const text = [sigV4Scheme, date, scopeText(scope), sha256Hex(canonical)].join("\n");
    return isSignature(hmac(key, text), signature);
  };
  const matches = Iterator.from(addresses()).some(isSignedFor);
  if (signer === undefined || !matches) {
    throw new S3Refusal(
      signer === undefined ? "InvalidAccessKeyId" : "SignatureDoesNotMatch",
      "the key id is unknown or the signature is wrong",
    );
  }
  return { key, scope, date, signature };
}

const fieldNamePattern = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;

/** `undefined` unless it is a list of lower-case names. */
export function parseSignedHeaders(text: string): readonly string[] | undefined {
  const names = text.split(";");
  return names.every((name) => fieldNamePattern.test(name)) ? names : undefined;
}

/** What is not signed could be added by anybody on the way. `unauthenticated`: `AccessDenied`. */
export function assertAllSigned(headers: HeaderValues, signedHeaders: readonly string[]): void {
  const signed = new Set(signedHeaders);
  const unsigned = ["host", ...headers.keys()].filter(
    (name) => (name === "host" || name.startsWith("x-amz-")) && !signed.has(name),
  );
  const [first] = unsigned;
  if (first === undefined) return;
  throw new S3Refusal("AccessDenied", `header ${first} is not signed`, {
    fields: { HeadersNotSigned: [...new Set(unsigned)].join(", ") },
    context: { header: first },
  });
}
