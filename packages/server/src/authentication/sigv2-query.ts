/**
 * AWS Signature Version 2 in the query: presigned URLs as boto3, aws-cli 1 and s3cmd make them without being
 * told otherwise. Signed are the method, `Content-MD5`, `Content-Type`, the instant of its end, every
 * `x-amz-*`, and the resource with those parameters that say what is meant. The host is not, and is looked
 * at only for its bucket, which is part of the resource.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { percentDecoded } from "../http/index.ts";
import {
  type HeaderValues,
  headerValues,
  type SignedRequest,
  splitTarget,
} from "./canonical-request.ts";
import { S3Refusal, wrongArgument } from "./s3-refusal.ts";
import { parsePayloadHash, type SignedPayload, unsignedPayload } from "./signed-payload.ts";
import { sigV4SkewMsMax } from "./sigv4-key.ts";
import { type PresignedParameters, presignedSecondsMax } from "./sigv4-query.ts";
import type { SigV4Options } from "./sigv4-signature.ts";

export interface SigV2Options extends Pick<SigV4Options, "signerOf" | "now"> {
  /** `/bucket/key`, as sent: each spelling that stands for what the request is about. */
  readonly resources: readonly string[];
  /** Names of the query that say what is meant. All are signed, also those that clients do not sign. */
  readonly subResources: ReadonlySet<string>;
}

export interface VerifiedV2 {
  readonly payload: SignedPayload;
  /** The `x-amz-*` parameters: all are signed. */
  readonly parameters: PresignedParameters;
}

/**
 * `AccessDenied` for one that is incomplete, over, or good for more than 7 days from now; `InvalidArgument`
 * for parameters that contradict each other; `InvalidAccessKeyId`, `SignatureDoesNotMatch`.
 */
export async function verifySigV2Query(
  request: SignedRequest,
  options: SigV2Options,
): Promise<VerifiedV2> {
  const query = parseQuery(splitTarget(request.target).query);
  const headers = headerValues(request.rawHeaders);
  const { keyId, expires, signature } = credential(query);
  assertInTime(expires, options.now);
  const parameters = amzParameters(query);
  const amz = signedFields(headers, parameters);
  const [before, after] = [
    [
      ...[request.method, joined(headers, "content-md5"), joined(headers, "content-type"), expires],
      ...[...amz]
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, value]) => `${name}:${value}`),
    ].join("\n"),
    resourceParameters(query, options.subResources),
  ];
  const signer = await options.signerOf(keyId, amz.get("x-amz-security-token"));
  const secret = signer?.secret ?? "";
  const texts = options.resources.map((resource) => `${before}\n${resource}${after}`);
  const matches = texts.some((text) => isSignedV2(secret, text, signature));
  if (signer === undefined || !matches) {
    throw new S3Refusal(
      signer === undefined ? "InvalidAccessKeyId" : "SignatureDoesNotMatch",
      "the key id is unknown or the signature is wrong",
    );
  }
  return { payload: payloadOf(amz.get("x-amz-content-sha256")), parameters };
}

/** Whether the query holds any sign of this mechanism, complete or not. */
export function isPresignedV2(target: string): boolean {
  const names = parseQuery(splitTarget(target).query).map(({ name }) => name);
  return names.includes("AWSAccessKeyId") || names.includes("Signature");
}

/** In constant time. `text` is made of bytes, as Node shows headers; `given` is base64. */
export function isSignedV2(secret: string, text: string, given: string): boolean {
  const expected = createHmac("sha1", secret).update(text, "latin1").digest();
  const bytes = Buffer.from(given, "base64");
  return bytes.length === expected.length && timingSafeEqual(bytes, expected);
}

/** Decoded; a plus is a space, as it is to whoever reads the parameter. */
interface Parameter {
  readonly name: string;
  /** Absent: the name came alone, without `=`. */
  readonly value?: string;
}

function parseQuery(query: string): readonly Parameter[] {
  return query
    .split("&")
    .filter((pair) => pair !== "")
    .map((pair) => {
      const end = pair.indexOf("=");
      if (end === -1) return { name: decoded(pair) };
      return { name: decoded(pair.slice(0, end)), value: decoded(pair.slice(end + 1)) };
    });
}

function decoded(text: string): string {
  const value = percentDecoded(text.replaceAll("+", " "));
  if (value === undefined) throw denied("the query is not percent-encoded UTF-8");
  return value;
}

function only(query: readonly Parameter[], name: string): string | undefined {
  const [found, second] = query.filter((parameter) => parameter.name === name);
  if (second !== undefined) throw wrongArgument(name, "is given twice");
  return found === undefined ? undefined : (found.value ?? "");
}

function credential(query: readonly Parameter[]) {
  const [keyId, expires, signature] = ["AWSAccessKeyId", "Expires", "Signature"].map((name) =>
    only(query, name),
  );
  if (!keyId || !expires || !signature) {
    throw denied(
      "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters",
    );
  }
  if (!/^\d{1,12}$/.test(expires)) {
    throw denied("Invalid date (should be seconds since epoch): Expires");
  }
  // A plus that came as itself, which base64 has and queries do not.
  return { keyId, expires, signature: signature.replaceAll(" ", "+") };
}

/** When it was signed is not known; so nobody can tell whether one of years was meant for a week. */
function assertInTime(expires: string, now: Date): void {
  const end = new Date(Number(expires) * 1000);
  const fields = { Expires: end.toISOString(), ServerTime: now.toISOString() };
  if (now > end) throw denied("Request has expired", fields);
  if (end.getTime() > now.getTime() + presignedSecondsMax * 1000 + sigV4SkewMsMax) {
    throw denied("Expires is more than 7 days from now", fields);
  }
}

const namePattern = /^x-amz-[!#$%&'*+\-.^_`|~0-9a-z]+$/;

function amzParameters(query: readonly Parameter[]): PresignedParameters {
  const parameters = new Map<string, string>();
  for (const { name: sent, value = "" } of query) {
    const name = sent.toLowerCase();
    if (!name.startsWith("x-amz-")) continue;
    if (parameters.has(name)) throw wrongArgument(sent, "is given twice");
    // With a line's end in it one field could be signed and two be read, or the other way round.
    if (!namePattern.test(name) || hasControls(value)) {
      throw wrongArgument(sent, "is not a header that could be sent");
    }
    parameters.set(name, value);
  }
  return parameters;
}

/**
 * Values by lower-case name, as bytes. What signers put into the query stands for a header (boto3 does so with
 * all of them); who sends it as a header too must send the same.
 */
function signedFields(
  headers: HeaderValues,
  parameters: PresignedParameters,
): ReadonlyMap<string, string> {
  const names = [...headers.keys()].filter((name) => name.startsWith("x-amz-"));
  const fields = new Map(names.map((name) => [name, joined(headers, name)]));
  for (const [name, text] of parameters) {
    const value = Buffer.from(text).toString("latin1").trim();
    if ((fields.get(name) ?? value) !== value) {
      throw wrongArgument(name, "is another in the query than among the headers");
    }
    fields.set(name, value);
  }
  return fields;
}

function joined(headers: HeaderValues, name: string): string {
  return (headers.get(name) ?? []).map((value) => value.trim()).join(",");
}

const overridePattern =
  /^response-(?:content-(?:type|language|disposition|encoding)|expires|cache-control)$/;

/** `?name=value&…` in order, values as they are; empty if there are none. */
function resourceParameters(
  query: readonly Parameter[],
  subResources: ReadonlySet<string>,
): string {
  const signed = query.filter(({ name }) => {
    return subResources.has(name) || ["partNumber", "versionId"].includes(name);
  });
  const overrides = query.filter(({ name }) => overridePattern.test(name));
  // Values stand here unescaped, so `a&acl` may be signed as the value of an override, which is often a
  // stranger's file name. It must not come as the sub-resource that it then looks like.
  if (overrides.length > 0 && signed.some(({ name }) => subResources.has(name))) {
    throw wrongArgument("response-*", "does not go with a sub-resource");
  }
  const all = [...signed, ...overrides].toSorted((one, other) => (one.name < other.name ? -1 : 1));
  for (const { name } of all) only(all, name);
  if (all.length === 0) return "";
  const pairs = all.map(({ name, value }) => (value === undefined ? name : `${name}=${value}`));
  return `?${Buffer.from(pairs.join("&")).toString("latin1")}`;
}

function payloadOf(hash = unsignedPayload): SignedPayload {
  const declared = parsePayloadHash(hash);
  if (declared.kind !== "streaming") return declared;
  const { kind, signed, trailer } = declared;
  if (!signed) return { kind, signed, trailer };
  throw new S3Refusal("InvalidRequest", "chunks are signed with version 4 of the signature alone");
}

function hasControls(text: string): boolean {
  return [...text].some((character) => character < " " || character === "\x7f");
}

function denied(message: string, fields: Readonly<Record<string, string>> = {}): S3Refusal {
  return new S3Refusal("AccessDenied", message, { fields });
}
