/**
 * For backends in Node: grants made and checked with an access key, without asking the server. The secret stays
 * here; a page gets the grant and nothing else. No connection is opened, and nothing is imported but
 * `node:crypto`.
 */
export { isRomaError, RomaError } from "../errors.ts";
export { type TemporaryCredentials, temporaryCredentials } from "./credentials.ts";
export { type GrantOptions, type GrantSigner, mintGrant } from "./mint.ts";
export { type GrantClaims, type VerifyGrantOptions, verifyGrant } from "./verify.ts";
