/**
 * Grants: signed, scoped, expiring permissions. A grant is a JWT (RFC 7519) signed with HS256 by an
 * access key's secret, so that a backend can mint one offline with any JWT library:
 *
 *   header  { "alg": "HS256", "typ": "JWT", "kid": "<access key id>" }
 *   claims  { "exp": <unix seconds>, "bucket", "key" | "prefix" and/or "template",
 *             "actions": ["object:read", …], "methods"?, "minBytes"?, "maxBytes"?, "contentTypes"?,
 *             "jti"?, "count"?, "context"? }
 *
 * It is bound to at most 7 days, and never allows more than the key that signed it. What each claim means:
 * `docs/protocols/grants.md`.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { Action, GrantScope } from "./access.ts";
import { isOperationalError, OperationalError } from "./errors.ts";
import { templateProblem } from "./grant-template.ts";

export const grantLifetimeMsMax = 7 * 24 * 60 * 60 * 1000;

/** Longer tokens are not looked at. */
const grantCharactersMax = 8192;

/** Writes that a grant with a count permits, at most. */
export const grantCountMax = 1_000_000;

/** Of a grant's context as JSON, in UTF-8. */
export const grantContextBytesMax = 1024;

const jtiPattern = /^[\x21-\x7e]{1,128}$/;

const grantPattern = /^eyJ[\w-]+\.[\w-]+\.[\w-]+$/;

const grantActions: ReadonlySet<string> = new Set<Action>([
  "object:read",
  "object:write",
  "object:delete",
  "object:list",
]);

/** Whether a bearer credential is a grant and not `ID.SECRET`. Key ids never begin with `eyJ`. */
export function looksLikeGrant(token: string): boolean {
  return token.length <= grantCharactersMax && grantPattern.test(token);
}

/** As they stand in the token, beside `exp`. */
export interface GrantClaims extends Omit<GrantScope, "id" | "use" | "context"> {
  /** Names the grant; needed with `count`. */
  readonly jti?: string;
  readonly count?: number;
  /** Any JSON. */
  readonly context?: unknown;
}

export function signGrant(
  claims: GrantClaims,
  signer: { readonly keyId: string; readonly secret: string },
  expiresAt: Date,
): string {
  const header = encode({ alg: "HS256", typ: "JWT", kid: signer.keyId });
  const payload = encode({ ...claims, exp: Math.floor(expiresAt.getTime() / 1000) });
  return `${header}.${payload}.${sign(`${header}.${payload}`, signer.secret).toString("base64url")}`;
}

/** The id of the key that claims to have signed it; nothing is verified yet. */
export function grantKeyId(token: string): string {
  const header = decode(token.split(".")[0] ?? "");
  if (header.alg !== "HS256") throw badGrant("its algorithm is not HS256");
  const kid = header.kid;
  if (typeof kid !== "string") throw badGrant("its header has no kid");
  return kid;
}

/** When a grant that was verified ends. */
export function grantEndsAt(token: string): Date {
  return new Date(Number(decode(token.split(".")[1] ?? "").exp) * 1000);
}

/** The bucket that a token claims to be for, whoever signed it; `undefined` of what is no grant. */
export function claimedBucket(token: string): string | undefined {
  try {
    return looksLikeGrant(token) ? text(decode(token.split(".")[1] ?? ""), "bucket") : undefined;
  } catch (error) {
    if (isOperationalError(error, "unauthenticated")) return undefined;
    throw error;
  }
}

/** `unauthenticated` for a wrong signature or form, `expired` once its time is over. */
export function verifyGrant(token: string, secret: string, now: Date): GrantScope {
  const [header = "", claims = "", signature = ""] = token.split(".");
  const expected = sign(`${header}.${claims}`, secret);
  const given = Buffer.from(signature, "base64url");
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
    throw badGrant("its signature does not match");
  }
  return parseClaims(decode(claims), { keyId: grantKeyId(token), now });
}

function parseClaims(
  claims: Record<string, unknown>,
  { keyId, now }: { readonly keyId: string; readonly now: Date },
): GrantScope {
  const exp = assertTimes(claims, now);
  const bucket = text(claims, "bucket");
  if (bucket === undefined) throw badGrant("claim bucket is missing");
  const methods = texts(claims, "methods");
  return {
    bucket,
    ...keysOf(claims),
    actions: actionsOf(claims),
    ...(methods === undefined ? {} : { methods: methods.map((method) => method.toUpperCase()) }),
    ...defined("contentTypes", texts(claims, "contentTypes")),
    ...defined("minBytes", size(claims, "minBytes")),
    ...defined("maxBytes", size(claims, "maxBytes")),
    ...defined("id", idOf(claims)),
    ...defined("use", useOf(claims, { keyId, expiresAt: new Date(exp * 1000) })),
    ...defined("context", contextOf(claims)),
  };
}

/** Answers when it ends, in seconds. */
function assertTimes({ exp, nbf }: Record<string, unknown>, now: Date): number {
  if (typeof exp !== "number" || !Number.isFinite(exp)) throw badGrant("claim exp is missing");
  if (exp * 1000 <= now.getTime()) throw new OperationalError("expired", "the grant has expired");
  if (exp * 1000 > now.getTime() + grantLifetimeMsMax)
    throw badGrant("it lives longer than 7 days");
  if (nbf !== undefined && (typeof nbf !== "number" || nbf * 1000 > now.getTime())) {
    throw badGrant("it is not valid yet");
  }
  return exp;
}

function keysOf(claims: Record<string, unknown>): Pick<GrantScope, "key" | "prefix" | "template"> {
  const key = text(claims, "key");
  const prefix = text(claims, "prefix");
  const template = text(claims, "template");
  if ((key === undefined) === (prefix === undefined && template === undefined)) {
    throw badGrant("it needs the claim key, or prefix or template");
  }
  const problem = template === undefined ? undefined : templateProblem(template, prefix);
  if (problem !== undefined) throw badGrant(`claim template ${problem}`);
  return { ...defined("key", key), ...defined("prefix", prefix), ...defined("template", template) };
}

function actionsOf(claims: Record<string, unknown>): readonly Action[] {
  const actions = texts(claims, "actions");
  if (actions === undefined || actions.length === 0) throw badGrant("claim actions is missing");
  if (actions.some((action) => !grantActions.has(action))) {
    throw badGrant("claim actions has an unknown action");
  }
  return actions as readonly Action[];
}

/** Of a grant that is not counted any text may be its claim; what is not plain is nothing to refer to. */
function idOf(claims: Record<string, unknown>): string | undefined {
  const jti = text(claims, "jti");
  return jti !== undefined && jtiPattern.test(jti) ? jti : undefined;
}

function useOf(
  claims: Record<string, unknown>,
  { keyId, expiresAt }: { readonly keyId: string; readonly expiresAt: Date },
): GrantScope["use"] {
  const { count: usesMax } = claims;
  const jti = text(claims, "jti");
  if (usesMax === undefined) return undefined;
  const isCount = typeof usesMax === "number" && Number.isSafeInteger(usesMax);
  if (!isCount || usesMax < 1 || usesMax > grantCountMax) {
    throw badGrant(`claim count is not a whole number from 1 to ${grantCountMax}`);
  }
  if (jti === undefined) throw badGrant("claim count needs the claim jti");
  if (!jtiPattern.test(jti)) {
    throw badGrant("claim jti is not 1 to 128 printable ASCII characters");
  }
  return { id: `${keyId}/${jti}`, usesMax, expiresAt };
}

function contextOf(claims: Record<string, unknown>): string | undefined {
  if (claims.context === undefined) return undefined;
  const json = JSON.stringify(claims.context);
  if (Buffer.byteLength(json) <= grantContextBytesMax) return json;
  throw badGrant(`claim context is larger than ${grantContextBytesMax} bytes of JSON`);
}

function defined<Name extends string, Value>(
  name: Name,
  value: Value | undefined,
): { readonly [name in Name]?: Value } {
  return value === undefined ? {} : ({ [name]: value } as { readonly [name in Name]: Value });
}

function sign(text: string, secret: string): Buffer {
  return createHmac("sha256", secret).update(text).digest();
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

function decode(part: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, "base64url").toString("utf8"));
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      return { ...value };
    }
  } catch {
    // Falls through to the one answer for everything that is not a JSON object.
  }
  throw badGrant("it is not a JSON web token");
}

function text(claims: Record<string, unknown>, name: string): string | undefined {
  const value = claims[name];
  if (value === undefined || typeof value === "string") return value;
  throw badGrant(`claim ${name} is not a text`);
}

function texts(claims: Record<string, unknown>, name: string): readonly string[] | undefined {
  const value = claims[name];
  if (value === undefined) return undefined;
  if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value;
  throw badGrant(`claim ${name} is not a list of texts`);
}

function size(claims: Record<string, unknown>, name: string): number | undefined {
  const value = claims[name];
  if (value === undefined) return undefined;
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw badGrant(`claim ${name} is not a number of bytes`);
}

function badGrant(why: string): OperationalError {
  return new OperationalError("unauthenticated", `the grant is not good: ${why}`);
}
