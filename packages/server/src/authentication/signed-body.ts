/** The body's SHA-256 in a signature is a promise that somebody must check. */
import { OperationalError } from "../core/errors.ts";
import type { Digests } from "../core/ports/storage-driver.ts";
import type { Caller } from "./authenticate.ts";
import { emptySha256 } from "./sigv4-key.ts";

/**
 * For methods whose body nobody reads: `checksum_mismatch` unless an empty one was signed. The method
 * is what the request asks for, also where that is not what its request line says.
 */
export function assertNoSignedBody(method: string, caller: Caller): void {
  if (!["GET", "HEAD", "DELETE", "OPTIONS"].includes(method)) return;
  if (caller.bodySha256 === undefined) return;
  if (Buffer.from(caller.bodySha256).toString("hex") === emptySha256) return;
  throw new OperationalError(
    "checksum_mismatch",
    `x-amz-content-sha256 is not that of an empty body, and ${method} has none`,
  );
}

/** The declared digests with the signed one; `checksum_mismatch` if the two contradict. */
export function withSignedBody(digests: Digests, caller: Caller): Digests {
  const { bodySha256 } = caller;
  if (bodySha256 === undefined) return digests;
  if (digests.sha256 !== undefined && Buffer.compare(digests.sha256, bodySha256) !== 0) {
    throw new OperationalError(
      "checksum_mismatch",
      "x-amz-content-sha256 differs from the declared sha-256",
    );
  }
  return { ...digests, sha256: bodySha256 };
}
