/** A grant as a temporary key of S3, for clients that sign by themselves. */
import { createHmac } from "node:crypto";
import { type VerifyGrantOptions, verifyGrant } from "./verify.ts";

/** In the words of AWS's SDKs: what their `credentials` option takes, and Uppy's `getCredentials`. */
export interface TemporaryCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
  readonly expiration: Date;
}

/** Good for what the grant says, as long as it says. What `verifyGrant` throws. */
export function temporaryCredentials(
  grant: string,
  options: VerifyGrantOptions,
): TemporaryCredentials {
  const { keyId, expiresAt } = verifyGrant(grant, options);
  return {
    accessKeyId: keyId,
    secretAccessKey: createHmac("sha256", options.secret)
      .update(`roma-session\n${grant}`)
      .digest("base64url"),
    sessionToken: grant,
    expiration: expiresAt,
  };
}
