/**
 * Grants: signed, scoped, expiring permissions. A grant is a JWT (RFC 7519) signed with HS256 by an
 * access key's secret, so that a backend can mint one offline with any JWT library:
 *
 *   header  { "alg": "HS256", "typ": "JWT", "kid": "<access key id>" }
 *   claims  { "exp": <unix seconds>, "bucket", "key" | "prefix", "actions": ["object:read", …],
 *             "methods"?, "minBytes"?, "maxBytes"?, "contentTypes"? }
 *
 * It is bound to at most 7 days, and never allows more than the key that signed it.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { Action, GrantScope } from "./access.ts";
import { OperationalError } from "./errors.ts";

export const grantLifetimeMsMax = 7 * 24 * 60 * 60 * 1000;

/** Longer tokens are not looked at. */
const grantCharactersMax = 8192;

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

export function signGrant(
  scope: GrantScope,
  signer: { readonly keyId: string; readonly secret: string },
  expiresAt: Date,
): string {
  const header = encode({ alg: "HS256", typ: "JWT", kid: signer.keyId });
  const claims = encode({ ...scope, exp: Math.floor(expiresAt.getTime() / 1000) });
  return `${header}.${claims}.${sign(`${header}.${claims}`, signer.secret).toString("base64url")}`;
}

/** The id of the key that claims to have signed it; nothing is verified yet. */
export function grantKeyId(token: string): string {
  const header = decode(token.split(".")[0] ?? "");
  if (header.alg !== "HS256") throw badGrant("its algorithm is not HS256");
  const kid = header.kid;
  if (typeof kid !== "string") throw badGrant("its header has no kid");
  return kid;
}

/** `unauthenticated` for a wrong signature or form, `expired` once its time is over. */
export function verifyGrant(token: string, secret: string, now: Date): GrantScope {
  const [header = "", claims = "", signature = ""] = token.split(".");
  const expected = sign(`${header}.${claims}`, secret);
  const given = Buffer.from(signature, "base64url");
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
    throw badGrant("its signature does not match");
  }
  return parseClaims(decode(claims), now);
}

function parseClaims(claims: Record<string, unknown>, now: Date): GrantScope {
  const { exp, nbf } = claims;
  if (typeof exp !== "number" || !Number.isFinite(exp)) throw badGrant("claim exp is missing");
  if (exp * 1000 <= now.getTime()) throw new OperationalError("expired", "the grant has expired");
  if (exp * 1000 > now.getTime() + grantLifetimeMsMax)
    throw badGrant("it lives longer than 7 days");
  if (nbf !== undefined && (typeof nbf !== "number" || nbf * 1000 > now.getTime())) {
    throw badGrant("it is not valid yet");
  }
  const bucket = text(claims, "bucket");
  const key = text(claims, "key");
  const prefix = text(claims, "prefix");
  if (bucket === undefined) throw badGrant("claim bucket is missing");
  if ((key === undefined) === (prefix === undefined)) {
    throw badGrant("it needs one of the claims key and prefix");
  }
  const actions = texts(claims, "actions");
  if (actions === undefined || actions.length === 0) throw badGrant("claim actions is missing");
  const unknown = actions.find((action) => !grantActions.has(action));
  if (unknown !== undefined) throw badGrant("claim actions has an unknown action");
  const methods = texts(claims, "methods");
  const contentTypes = texts(claims, "contentTypes");
  const minBytes = size(claims, "minBytes");
  const maxBytes = size(claims, "maxBytes");
  return {
    bucket,
    ...(key === undefined ? {} : { key }),
    ...(prefix === undefined ? {} : { prefix }),
    actions: actions as readonly Action[],
    ...(methods === undefined ? {} : { methods: methods.map((method) => method.toUpperCase()) }),
    ...(contentTypes === undefined ? {} : { contentTypes }),
    ...(minBytes === undefined ? {} : { minBytes }),
    ...(maxBytes === undefined ? {} : { maxBytes }),
  };
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
