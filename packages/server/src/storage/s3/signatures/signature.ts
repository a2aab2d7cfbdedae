// What a signature of the S3 family does: it turns a request into the headers or the query that
// prove it, and a form's policy into its fields.

import type { Credentials } from "../credentials/credentials.ts";
import type { QueryPair } from "./encode.ts";

export interface RequestToSign {
  readonly method: string;
  readonly host: string;
  /** As sent, percent-encoded, with the bucket where the address has it. */
  readonly path: string;
  readonly query: readonly QueryPair[];
  /** Lower-case names; those that the signature covers are its own choice. */
  readonly headers: Readonly<Record<string, string>>;
  readonly bucket: string;
  /** As it is, not encoded; absent for a request on the bucket. */
  readonly key?: string;
  /** Hexadecimal SHA-256 of the body, or `UNSIGNED-PAYLOAD`. */
  readonly payloadHash: string;
}

export interface SigningScope {
  readonly credentials: Credentials;
  readonly region: string;
  readonly at: Date;
}

export interface PostPolicy {
  readonly expiresAt: Date;
  readonly conditions: readonly unknown[];
}

export interface Signature {
  /** The headers to send: those of the request and what proves it. */
  headers(request: RequestToSign, scope: SigningScope): Readonly<Record<string, string>>;
  /**
   * The query to send. The headers given are signed as well: whoever uses the address has to send
   * them exactly.
   */
  query(
    request: RequestToSign,
    scope: SigningScope & { readonly expiresSeconds: number },
  ): readonly QueryPair[];
  /** The fields of a form, the policy among them. */
  post(policy: PostPolicy, scope: SigningScope): Readonly<Record<string, string>>;
}

export const unsignedPayload = "UNSIGNED-PAYLOAD";

/** `20260102T030405Z` */
export function basicDate(at: Date): string {
  return `${at.toISOString().slice(0, 19).replaceAll(/[-:]/g, "")}Z`;
}

/** The base64 text of a form's policy that covers these fields as well. */
export function policyText(
  { expiresAt, conditions }: PostPolicy,
  fields: Readonly<Record<string, string>>,
): string {
  const covered = Object.entries(fields).map(([name, value]) => ({ [name]: value }));
  const document = { expiration: expiresAt.toISOString(), conditions: [...conditions, ...covered] };
  return Buffer.from(JSON.stringify(document)).toString("base64");
}

/** The lines of a header block: lower-case names, trimmed values, sorted. */
export function headerLines(
  headers: Readonly<Record<string, string>>,
): readonly [string, string][] {
  return Object.entries(headers)
    .map(([name, value]): [string, string] => [
      name.toLowerCase(),
      value.trim().replaceAll(/ +/g, " "),
    ])
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}
