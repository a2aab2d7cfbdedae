/** Checking a grant that comes back: that this backend's key signed it, and that it still holds. */
import { timingSafeEqual } from "node:crypto";
import type { GrantRequestJson } from "@roma/contract";
import { RomaError } from "../errors.ts";
import { type GrantSigner, signatureOf } from "./mint.ts";

/** What a grant says. */
export interface GrantClaims extends Omit<GrantRequestJson, "expiresIn"> {
  /** Of the access key that signed it. */
  readonly keyId: string;
  /** Its `jti`; `null` if it has none. */
  readonly id: string | null;
  readonly expiresAt: Date;
}

export interface VerifyGrantOptions extends GrantSigner {
  /** Left out: the system's time. */
  readonly now?: Date;
}

/**
 * `RomaError` with `unauthenticated` for a token that the key did not sign, `expired` once its time is over. How
 * often it was used, the server alone knows.
 */
export function verifyGrant(grant: string, options: VerifyGrantOptions): GrantClaims {
  const [header = "", payload = "", signature = "", ...more] = grant.split(".");
  const expected = signatureOf(`${header}.${payload}`, options.secret);
  const given = Buffer.from(signature, "base64url");
  if (more.length > 0 || given.length !== expected.length || !timingSafeEqual(given, expected)) {
    throw refused("its signature does not match");
  }
  const { alg, kid } = decoded(header);
  if (alg !== "HS256" || kid !== options.keyId) throw refused("it is not signed by this key");
  const { exp, jti, ...claims } = decoded(payload);
  const { bucket, actions } = claims;
  if (typeof exp !== "number" || typeof bucket !== "string" || !Array.isArray(actions)) {
    throw refused("a claim is missing");
  }
  const expiresAt = new Date(exp * 1000);
  if (expiresAt <= (options.now ?? new Date())) {
    throw new RomaError("expired", "the grant has expired");
  }
  const id = typeof jti === "string" ? jti : null;
  // The key's holder signed the rest as it is.
  return { ...claims, bucket, actions, keyId: options.keyId, id, expiresAt };
}

function decoded(part: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, "base64url").toString("utf8"));
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return { ...value };
  } catch {
    // One answer for everything that is no JSON object.
  }
  throw refused("it is not a JSON web token");
}

function refused(why: string): RomaError {
  return new RomaError("unauthenticated", `the grant is not good: ${why}`);
}
