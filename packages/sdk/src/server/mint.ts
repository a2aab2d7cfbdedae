/** Grants: JSON web tokens (RFC 7519) signed with HS256 by an access key's secret. `docs/protocols/grants.md`. */
import { createHmac, randomUUID } from "node:crypto";
import type { GrantRequestJson } from "@roma/contract";
import { RomaError } from "../errors.ts";

/** An access key of the server; the grant permits no more than it. */
export interface GrantSigner {
  readonly keyId: string;
  readonly secret: string;
}

/** As `POST /v1/grants` takes them, but for the times. */
export interface GrantOptions extends GrantSigner, Omit<GrantRequestJson, "expiresIn"> {
  /** At most 7 days; left out: 15 minutes. */
  readonly lifetimeSeconds?: number;
  /** Names the grant, for its count; left out: a new UUID. */
  readonly id?: string;
  /** Left out: the system's time. */
  readonly now?: Date;
}

const lifetimeSecondsDefault = 15 * 60;
const lifetimeSecondsMax = 7 * 24 * 60 * 60;
const contextBytesMax = 1024;
const countMax = 1_000_000;
const placeholders = /\{(?:date|year|month|day|uuid|ext|filename)\}/g;

/**
 * A grant, to be handed to a page. `RomaError` with `invalid_request` for what the server would refuse without
 * looking at buckets; whether the key may do it, the server says when the grant is used.
 */
export function mintGrant(options: GrantOptions): string {
  const { keyId, secret, lifetimeSeconds = lifetimeSecondsDefault, id, now, ...scope } = options;
  assertScope(options);
  if (!(lifetimeSeconds >= 1 && lifetimeSeconds <= lifetimeSecondsMax)) {
    throw invalid("lifetimeSeconds must be 1 to 604800");
  }
  const endMs = (now ?? new Date()).getTime() + lifetimeSeconds * 1000;
  const claims = {
    ...scope,
    jti: id ?? randomUUID(),
    exp: Math.floor(endMs / 1000),
  };
  const text = [{ alg: "HS256", typ: "JWT", kid: keyId }, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
    .join(".");
  return `${text}.${signatureOf(text, secret).toString("base64url")}`;
}

export function signatureOf(text: string, secret: string): Buffer {
  return createHmac("sha256", secret).update(text).digest();
}

function assertScope(options: GrantOptions): void {
  const { keyId, secret, bucket, key, prefix, template, actions, count, context } = options;
  if (!keyId || !secret) throw invalid("keyId and secret are those of an access key");
  if (!bucket) throw invalid("bucket is missing");
  if ((key === undefined) === (prefix === undefined && template === undefined)) {
    throw invalid("key is needed, or prefix or template, and not with them");
  }
  if (!(actions.length > 0)) throw invalid("actions is empty");
  if (template !== undefined) assertTemplate(template, prefix ?? "");
  if (count !== undefined && !(Number.isInteger(count) && count >= 1 && count <= countMax)) {
    throw invalid(`count must be 1 to ${countMax}`);
  }
  if (Buffer.byteLength(JSON.stringify(context) ?? "") > contextBytesMax) {
    throw invalid(`context is larger than ${contextBytesMax} bytes of JSON`);
  }
}

function assertTemplate(template: string, prefix: string): void {
  if (/[{}]/.test(template.replaceAll(placeholders, ""))) {
    throw invalid("template has an unknown placeholder, or a brace without its other");
  }
  if (!(template.split("{", 1)[0] ?? "").startsWith(prefix)) {
    throw invalid("template does not lie within prefix");
  }
}

function invalid(message: string): RomaError {
  return new RomaError("invalid_request", `the grant is not good: ${message}`);
}
