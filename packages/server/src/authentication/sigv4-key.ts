/**
 * Who signs, for when and where: the scope of an AWS V4 credential, and the key that is derived for
 * it. Everything that is signed — requests, chunks, trailers, policies — is signed with that key.
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { type S3Reason, S3Refusal } from "./s3-refusal.ts";

export const sigV4Scheme = "AWS4-HMAC-SHA256";

/** How far the signer's clock may be off. */
export const sigV4SkewMsMax = 15 * 60 * 1000;

/** SHA-256 of no bytes. */
export const emptySha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

export interface CredentialScope {
  readonly keyId: string;
  /** `yyyymmdd`. */
  readonly day: string;
  readonly region: string;
}

const credentialPattern =
  /^([^/]{1,128})\/(\d{8})\/([A-Za-z0-9-]{1,64})\/([a-z0-9-]{1,32})\/aws4_request$/;

/**
 * Regions every S3 client may be left at, beside the one that is configured. `US` is us-east-1 by its old
 * name: s3cmd signs for it while it knows no bucket's location.
 */
const commonRegions: readonly string[] = ["us-east-1", "auto", "US"];

export interface CredentialField {
  /** What a client is told when it cannot be read. */
  readonly reason: S3Reason;
  /** Where it was: `Authorization: Credential`. */
  readonly name: string;
  /** The server's own; `undefined`: any will do. */
  readonly region?: string | undefined;
}

export function parseCredential(text: string, field: CredentialField): CredentialScope {
  const match = credentialPattern.exec(text);
  if (match === null) {
    throw new S3Refusal(field.reason, `${field.name} is not KEY/yyyymmdd/region/s3/aws4_request`);
  }
  const [, keyId = "", day = "", region = "", service] = match;
  if (service !== "s3") throw new S3Refusal(field.reason, `${field.name}: the service is not s3`);
  if (field.region !== undefined && ![field.region, ...commonRegions].includes(region)) {
    // Clients sign again for the region they are told.
    throw new S3Refusal(
      field.reason,
      `${field.name}: the region ${region} is wrong; expecting ${field.region}`,
      { fields: { Region: field.region } },
    );
  }
  return { keyId, day, region };
}

/** The last key derived from each secret: nearly all requests of a day ask for the same. */
const derived = new WeakMap<object, { readonly scope: string; readonly key: Buffer }>();

/** `holder` is what the secret belongs to; the derived key is forgotten with it. */
export function signingKey(
  holder: { readonly secret: string },
  { day, region }: CredentialScope,
): Buffer {
  const scope = `${day}/${region}`;
  const known = derived.get(holder);
  if (known?.scope === scope) return known.key;
  const key = hmac(hmac(hmac(hmac(`AWS4${holder.secret}`, day), region), "s3"), "aws4_request");
  derived.set(holder, { scope, key });
  return key;
}

/** `yyyymmdd/region/s3/aws4_request`, as it stands in a string to sign. */
export function scopeText({ day, region }: CredentialScope): string {
  return `${day}/${region}/s3/aws4_request`;
}

export function hmac(key: string | Uint8Array, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

/** Of text whose characters are bytes, as Node shows headers. */
export function sha256Hex(text: string): string {
  return createHash("sha256").update(text, "latin1").digest("hex");
}

/** In constant time. `given` is 64 hexadecimal digits. */
export function isSignature(expected: Uint8Array, given: string): boolean {
  const bytes = Buffer.from(given, "hex");
  return bytes.length === expected.length && timingSafeEqual(expected, bytes);
}

/** `yyyymmddThhmmssZ` */
export function amzDate(date: Date): string {
  return date.toISOString().replace(/[:-]|\.\d{3}/g, "");
}

/** `undefined` for anything but a real instant in the form `yyyymmddThhmmssZ`. */
export function parseAmzDate(text: string): Date | undefined {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  if (match === null) return undefined;
  const date = new Date(text.replace(/^(....)(..)(..)T(..)(..)(..)Z$/, "$1-$2-$3T$4:$5:$6Z"));
  return Number.isNaN(date.getTime()) || amzDate(date) !== text ? undefined : date;
}
