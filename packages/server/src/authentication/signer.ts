/**
 * Whose secret verifies a signature: an access key's own, or that of a temporary key. A temporary key
 * is a grant (`core/grants.ts`) used as session token: its id is the key's that signed the grant, its
 * secret is derived from both, so that a backend can mint one offline and the server keeps none.
 */
import { createHmac } from "node:crypto";
import type { Actor } from "../core/access.ts";
import type { AccessKeys, OpenedKey } from "../core/access-keys.ts";
import { isOperationalError } from "../core/errors.ts";
import { grantKeyId, looksLikeGrant } from "../core/grants.ts";
import { withFacts } from "../core/refusal-facts.ts";
import { grantActor } from "./grant-actor.ts";
import { S3Refusal } from "./s3-refusal.ts";

export interface Signer {
  readonly keyId: string;
  readonly secret: string;
  /** Once the signature is verified. `ExpiredToken`, `InvalidToken`; `access_denied` for the method. */
  readonly actor: (method: string) => Promise<Actor>;
}

/** The secret access key that belongs to the session token `grant`. */
export function temporarySecret(grant: string, keySecret: string): string {
  return createHmac("sha256", keySecret).update(`roma-session\n${grant}`).digest("base64url");
}

/** `undefined` for a key that may not be used; `InvalidToken` for a token that cannot be one. */
export async function openSigner(
  accessKeys: AccessKeys,
  keyId: string,
  token?: string,
): Promise<Signer | undefined> {
  if (token !== undefined) assertTokenOf(token, keyId);
  const opened = await accessKeys.open(keyId);
  if (opened === undefined) return undefined;
  if (token === undefined) return keySigner(opened);
  return {
    keyId,
    secret: temporarySecret(token, opened.secret),
    actor: (method) => actorOf(accessKeys, token, method),
  };
}

/** One for each opened key, so that what is derived from its secret is derived once. */
const keySigners = new WeakMap<OpenedKey, Signer>();

function keySigner(opened: OpenedKey): Signer {
  const known = keySigners.get(opened);
  if (known !== undefined) return known;
  const { id: keyId, policy } = opened.record;
  const actor: Actor = { kind: "key", keyId, policy };
  const signer: Signer = { keyId, secret: opened.secret, actor: async () => actor };
  keySigners.set(opened, signer);
  return signer;
}

/** A failure to prove that a request is this signer's. Answers the error. */
export function claimedBy(signer: Signer | undefined, error: unknown): unknown {
  if (signer === undefined || !isOperationalError(error, "unauthenticated")) return error;
  return withFacts(error, { claimedKeyId: signer.keyId });
}

function assertTokenOf(token: string, keyId: string): void {
  try {
    if (looksLikeGrant(token) && grantKeyId(token) === keyId) return;
  } catch (error) {
    if (!isOperationalError(error)) throw error;
  }
  throw new S3Refusal("InvalidToken", "the session token is not of this access key");
}

async function actorOf(accessKeys: AccessKeys, token: string, method: string): Promise<Actor> {
  try {
    return await grantActor(accessKeys, token, method);
  } catch (error) {
    if (isOperationalError(error, "expired")) {
      throw new S3Refusal("ExpiredToken", "the session token has expired", { cause: error });
    }
    if (isOperationalError(error, "unauthenticated")) {
      throw new S3Refusal("InvalidToken", error.message, { cause: error });
    }
    throw error;
  }
}
