/** Whom a grant stands for, once it is verified and permits the method. */
import type { Actor } from "../core/access.ts";
import type { AccessKeys } from "../core/access-keys.ts";
import { OperationalError } from "../core/errors.ts";
import { looksLikeGrant } from "../core/grants.ts";
import { withFacts } from "../core/refusal-facts.ts";

/** `unauthenticated`, `expired`, `access_denied` for a method that is not among the grant's. */
export async function grantActor(
  accessKeys: AccessKeys,
  token: string,
  method: string,
): Promise<Actor> {
  if (!looksLikeGrant(token)) {
    throw new OperationalError(
      "unauthenticated",
      "the grant is not good: it is not a JSON web token",
    );
  }
  const actor = await accessKeys.authenticateGrant(token);
  const methods = actor.kind === "grant" ? actor.scope.methods : undefined;
  // A HEAD shows less than the GET that is permitted.
  const asked = method === "HEAD" && methods?.includes("GET") === true ? "GET" : method;
  if (methods !== undefined && !methods.includes(asked)) {
    const message = `the grant does not permit the method ${method}`;
    const error = new OperationalError("access_denied", message);
    throw actor.kind === "grant" ? withFacts(error, { claimedKeyId: actor.keyId }) : error;
  }
  return actor;
}
