/**
 * `GET /s3/sts`: the grant as temporary key, with which a page signs by itself. The page chooses the keys then:
 * the S3 interface takes those that the grant permits.
 */
import type { CompanionServices, Handler } from "./services.ts";
import { bucketUrl } from "./signing.ts";

/** Names as AWS's STS has them, and as Uppy 6 asks for them. */
export const credentials =
  ({ region }: CompanionServices): Handler =>
  async (exchange) => {
    const { id, secret, token, expiresAt } = exchange.key;
    const expiration = expiresAt.toISOString();
    return {
      credentials: {
        ...{ accessKeyId: id, secretAccessKey: secret, sessionToken: token, expiration },
        ...{ AccessKeyId: id, SecretAccessKey: secret, SessionToken: token },
        Expiration: expiration,
      },
      bucket: exchange.scope.bucket,
      region,
      endpoint: bucketUrl(exchange),
    };
  };
