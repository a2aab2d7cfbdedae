/**
 * AWS Signature Version 4 in the `Authorization` header, verified over the request target exactly as
 * it was sent. Knows nothing of this protocol: the caller brings the secrets and answers the errors.
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { OperationalError } from "../core/errors.ts";

export const sigV4Scheme = "AWS4-HMAC-SHA256";

/** SHA-256 of no bytes. */
export const emptySha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/** How far the signer's clock may be off. */
export const sigV4SkewMsMax = 15 * 60 * 1000;

export interface SignedRequest {
  readonly method: string;
  /** Path and query as sent, before any decoding. */
  readonly target: string;
  /** Names and values in turn, as Node's `rawHeaders`. */
  readonly rawHeaders: readonly string[];
}

/** What the signature says about the body: its SHA-256, or that it is not signed. */
export type SignedPayload =
  | { readonly kind: "sha256"; readonly digest: Uint8Array }
  | { readonly kind: "unsigned" };

export interface VerifiedSignature {
  readonly keyId: string;
  readonly payload: SignedPayload;
}

export interface SigV4Options {
  /** The secret of a key that may be used; `undefined` otherwise. */
  readonly secretOf: (keyId: string) => Promise<string | undefined>;
  readonly now: Date;
  /**
   * Also takes requests without `x-amz-content-sha256` that were signed as if they had no body, as
   * curl before 8 signs every GET and `-T`. Their body counts as unsigned.
   */
  readonly payloadHashOptional?: boolean;
}

/**
 * `unauthenticated` for an unknown key, a wrong signature, an unsigned header that must be signed,
 * or a date more than 15 minutes off; `invalid_request` for what cannot be read; `unsupported` for
 * chunk signatures.
 */
export async function verifySigV4(
  request: SignedRequest,
  options: SigV4Options,
): Promise<VerifiedSignature> {
  const headers = headerValues(request.rawHeaders);
  const parts = parseAuthorization(only(headers, "authorization"));
  assertAllSigned(headers, parts.signedHeaders);
  const date = signedDate(headers);
  assertFresh(date, parts.day, options.now);
  const unhashed = options.payloadHashOptional === true && !headers.has("x-amz-content-sha256");
  const payloadHash = unhashed ? emptySha256 : only(headers, "x-amz-content-sha256");
  const payload: SignedPayload = unhashed ? { kind: "unsigned" } : parsePayload(payloadHash);
  const canonical = canonicalRequest(request, { headers, parts, payloadHash });
  const scope = `${parts.day}/${parts.region}/s3/aws4_request`;
  const text = [sigV4Scheme, amzDate(date), scope, sha256Hex(canonical)].join("\n");
  const secret = await options.secretOf(parts.keyId);
  // An unknown key costs the same work and gets the same answer as a wrong signature.
  const expected = hmac(signingKey(secret ?? "", parts), text);
  const matches = timingSafeEqual(expected, Buffer.from(parts.signature, "hex"));
  if (secret === undefined || !matches) {
    const hint = unhashed ? "; without x-amz-content-sha256 no body can be signed" : "";
    const what = `the key id is unknown or the signature is wrong${hint}`;
    throw new OperationalError("unauthenticated", what);
  }
  return { keyId: parts.keyId, payload };
}

interface Authorization {
  readonly keyId: string;
  readonly day: string;
  readonly region: string;
  readonly signedHeaders: readonly string[];
  readonly signature: string;
}

type Headers = ReadonlyMap<string, readonly string[]>;

const authorizationPattern = /^AWS4-HMAC-SHA256[ ]+(.+)$/;
const credentialPattern =
  /^([^/]{1,128})\/(\d{8})\/([A-Za-z0-9-]{1,64})\/([a-z0-9-]{1,32})\/aws4_request$/;
const fieldNamePattern = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;

function parseAuthorization(value: string): Authorization {
  const fields = new Map<string, string>();
  const list = authorizationPattern.exec(value)?.[1] ?? "";
  for (const field of list.split(",", 10)) {
    const end = field.indexOf("=");
    const name = field.slice(0, Math.max(end, 0)).trim();
    if (fields.has(name)) throw malformed(`Authorization has ${name} twice`);
    fields.set(name, field.slice(end + 1).trim());
  }
  const credential = credentialPattern.exec(fields.get("Credential") ?? "");
  if (credential === null) {
    throw malformed("Authorization: Credential is not KEY/yyyymmdd/region/s3/aws4_request");
  }
  const [, keyId = "", day = "", region = "", service] = credential;
  if (service !== "s3") throw malformed("Authorization: the service in Credential is not s3");
  const signedHeaders = (fields.get("SignedHeaders") ?? "").split(";");
  if (!signedHeaders.every((name) => fieldNamePattern.test(name))) {
    throw malformed("Authorization: SignedHeaders is not a list of lower-case names");
  }
  const signature = fields.get("Signature") ?? "";
  if (!/^[0-9a-f]{64}$/.test(signature)) {
    throw malformed("Authorization: Signature is not 64 hexadecimal digits");
  }
  return { keyId, day, region, signedHeaders, signature };
}

/** What is not signed could be added by anybody on the way. */
function assertAllSigned(headers: Headers, signedHeaders: readonly string[]): void {
  const signed = new Set(signedHeaders);
  for (const name of ["host", ...headers.keys()]) {
    if ((name === "host" || name.startsWith("x-amz-")) && !signed.has(name)) {
      throw new OperationalError("unauthenticated", `header ${name} is not signed`, {
        context: { header: name },
      });
    }
  }
}

function signedDate(headers: Headers): Date {
  const amz = headers.get("x-amz-date");
  const text = amz === undefined ? only(headers, "date") : only(headers, "x-amz-date");
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  const iso =
    match === null
      ? text
      : `${match[1]}-${match[2]}-${match[3]}T${match[4]}:${match[5]}:${match[6]}Z`;
  const date = new Date(iso);
  if (Number.isNaN(date.getTime()) || (amz !== undefined && match === null)) {
    throw malformed("x-amz-date is not yyyymmddThhmmssZ");
  }
  return date;
}

function assertFresh(date: Date, day: string, now: Date): void {
  if (Math.abs(date.getTime() - now.getTime()) > sigV4SkewMsMax) {
    throw new OperationalError(
      "unauthenticated",
      "the signature's date is more than 15 minutes from the server's time",
      { context: { serverTime: now.toISOString() } },
    );
  }
  if (amzDate(date).slice(0, 8) !== day) {
    throw malformed("Authorization: the day in Credential is not that of x-amz-date");
  }
}

function parsePayload(hash: string): SignedPayload {
  if (hash === "UNSIGNED-PAYLOAD") return { kind: "unsigned" };
  if (/^[0-9a-f]{64}$/.test(hash)) return { kind: "sha256", digest: Buffer.from(hash, "hex") };
  if (hash.startsWith("STREAMING-")) {
    throw new OperationalError("unsupported", "x-amz-content-sha256: STREAMING-… is not supported");
  }
  throw malformed("x-amz-content-sha256 is neither a SHA-256 in hex nor UNSIGNED-PAYLOAD");
}

function canonicalRequest(
  request: SignedRequest,
  signed: {
    readonly headers: Headers;
    readonly parts: Authorization;
    readonly payloadHash: string;
  },
): string {
  const start = request.target.indexOf("?");
  const path = start === -1 ? request.target : request.target.slice(0, start);
  const query = start === -1 ? "" : request.target.slice(start + 1);
  const lines = signed.parts.signedHeaders.map((name) => {
    const values = (signed.headers.get(name) ?? []).map(trimmed);
    return `${name}:${values.join(",")}\n`;
  });
  return [
    request.method,
    recoded(path, true),
    canonicalQuery(query),
    lines.join(""),
    signed.parts.signedHeaders.join(";"),
    signed.payloadHash,
  ].join("\n");
}

function canonicalQuery(query: string): string {
  const pairs = query
    .split("&")
    .filter((pair) => pair !== "")
    .map((pair) => {
      const end = pair.indexOf("=");
      const name = end === -1 ? pair : pair.slice(0, end);
      const value = end === -1 ? "" : pair.slice(end + 1);
      return [recoded(name, false), recoded(value, false)] as const;
    });
  // All ASCII by now, so order by UTF-16 units is order by bytes.
  const order = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
  pairs.sort(([a, av], [b, bv]) => order(a, b) || order(av, bv));
  return pairs.map(([name, value]) => `${name}=${value}`).join("&");
}

/** Decoded once and encoded again, byte by byte, so that all spellings of a target are one. */
function recoded(text: string, keepSlash: boolean): string {
  const bytes = text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return bytes.replace(/[^A-Za-z0-9\-._~]/g, (character) => {
    if (keepSlash && character === "/") return character;
    return `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;
  });
}

function headerValues(rawHeaders: readonly string[]): Headers {
  const headers = new Map<string, string[]>();
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = (rawHeaders[index] ?? "").toLowerCase();
    const value = rawHeaders[index + 1] ?? "";
    const values = headers.get(name);
    if (values === undefined) headers.set(name, [value]);
    else values.push(value);
  }
  return headers;
}

function only(headers: Headers, name: string): string {
  const values = headers.get(name) ?? [];
  const [value] = values;
  if (value === undefined || values.length > 1) {
    throw malformed(`header ${name} must be there once`);
  }
  return value;
}

function trimmed(value: string): string {
  return value.trim().replace(/ {2,}/g, " ");
}

function amzDate(date: Date): string {
  return date.toISOString().replace(/[:-]|\.\d{3}/g, "");
}

function signingKey(secret: string, parts: Authorization): Buffer {
  const day = hmac(`AWS4${secret}`, parts.day);
  return hmac(hmac(hmac(day, parts.region), "s3"), "aws4_request");
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

/** Headers are bytes that Node shows as latin1. */
function sha256Hex(text: string): string {
  return createHash("sha256").update(Buffer.from(text, "latin1")).digest("hex");
}

function malformed(what: string): OperationalError {
  return new OperationalError("invalid_request", what);
}
