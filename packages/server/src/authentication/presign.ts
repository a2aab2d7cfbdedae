/**
 * Signatures that the server makes itself, for its own S3 interface and with a grant as the session token: what
 * the grant allows is judged when they are used, as of every temporary key.
 */
import type { AccessKeys } from "../core/access-keys.ts";
import { OperationalError } from "../core/errors.ts";
import { grantEndsAt } from "../core/grants.ts";
import { canonicalPairs, canonicalRequest } from "./canonical-request.ts";
import { unsignedPayload } from "./signed-payload.ts";
import { temporarySecret } from "./signer.ts";
import { amzDate, hmac, scopeText, sha256Hex, signingKey, sigV4Scheme } from "./sigv4-key.ts";

/** A grant as a key of S3. Its id is that of the key which signed the grant. */
export interface TemporaryKey {
  readonly id: string;
  readonly secret: string;
  /** The grant. */
  readonly token: string;
  readonly region: string;
  readonly expiresAt: Date;
}

/** Of a grant that was verified. `unauthenticated` if its key is gone since. */
export async function temporaryKey(
  accessKeys: AccessKeys,
  grant: { readonly keyId: string; readonly token: string; readonly region: string },
): Promise<TemporaryKey> {
  const { keyId, token, region } = grant;
  const opened = await accessKeys.open(keyId);
  if (opened === undefined) throw new OperationalError("unauthenticated", "the key is gone");
  const secret = temporarySecret(token, opened.secret);
  return { id: keyId, secret, token, region, expiresAt: grantEndsAt(token) };
}

export interface PresignRequest {
  readonly method: string;
  /** As clients reach the S3 interface, percent-encoded: `https://files.example/s3/photos/cat.jpg`. */
  readonly url: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly now: Date;
  readonly expiresSeconds: number;
}

/** The URL with everything in its query that the method needs. */
export function presignUrl(key: TemporaryKey, request: PresignRequest): string {
  const { method, url, now, expiresSeconds } = request;
  const scope = scopeOf(key, now);
  const query = new URLSearchParams({
    ...request.query,
    "X-Amz-Algorithm": sigV4Scheme,
    "X-Amz-Content-Sha256": unsignedPayload,
    "X-Amz-Credential": `${key.id}/${scopeText(scope)}`,
    "X-Amz-Date": amzDate(now),
    "X-Amz-Expires": String(expiresSeconds),
    "X-Amz-Security-Token": key.token,
    "X-Amz-SignedHeaders": "host",
  }).toString();
  const [, host = "", path = ""] = /^[a-z]+:\/\/([^/]*)(.*)$/i.exec(url) ?? [];
  const canonical = canonicalRequest({
    ...{ method, path, query: canonicalPairs(query) },
    ...{ headers: new Map([["host", [host]]]), signedHeaders: ["host"] },
    payloadHash: unsignedPayload,
  });
  const text = [sigV4Scheme, amzDate(now), scopeText(scope), sha256Hex(canonical)].join("\n");
  const signature = hmac(signingKey(key, scope), text).toString("hex");
  return `${url}?${query}&X-Amz-Signature=${signature}`;
}

/**
 * The fields of a form that stores one file: those given, which are bound as they are, and what proves it. With
 * a range of lengths the file must be within it, both bounds included.
 */
export function presignForm(
  key: TemporaryKey,
  form: {
    readonly bucket: string;
    readonly fields: Readonly<Record<string, string>>;
    readonly lengthRange: readonly [number, number];
    readonly now: Date;
    readonly expiresSeconds: number;
  },
): Readonly<Record<string, string>> {
  const { bucket, now } = form;
  const scope = scopeOf(key, now);
  const fields = { ...form.fields, "x-amz-security-token": key.token };
  const document = {
    expiration: new Date(now.getTime() + form.expiresSeconds * 1000).toISOString(),
    conditions: [
      { bucket },
      ...Object.entries(fields).map(([name, value]) => ["eq", `$${name}`, value]),
      ["content-length-range", ...form.lengthRange],
    ],
  };
  const policy = Buffer.from(JSON.stringify(document)).toString("base64");
  return {
    ...fields,
    "x-amz-algorithm": sigV4Scheme,
    "x-amz-credential": `${key.id}/${scopeText(scope)}`,
    "x-amz-date": amzDate(now),
    policy,
    "x-amz-signature": hmac(signingKey(key, scope), policy).toString("hex"),
  };
}

function scopeOf({ id, region }: TemporaryKey, now: Date) {
  return { keyId: id, day: amzDate(now).slice(0, 8), region };
}
