/**
 * Signatures of the server's own requests for parts: one part of one upload, with its exact length, by one method,
 * until an instant; and of the address at which a storage calls back, as long as the upload is there. The key serves nothing else (`Sealer.deriveKey`), and is the same over restarts.
 */
import { createHmac, timingSafeEqual } from "node:crypto";

export interface SignedPart {
  readonly method: "PUT" | "POST";
  readonly uploadId: string;
  readonly number: number;
  readonly length: number;
  /** In whole seconds since 1970. */
  readonly expiresSeconds: number;
}

/** What `Sealer.deriveKey` is asked for. */
export const partSignaturePurpose = "parts of direct uploads";

export class PartSignatures {
  readonly #key: Uint8Array;

  constructor(key: Uint8Array) {
    this.#key = key;
  }

  /** 43 characters that a query takes as they are. */
  sign({ method, uploadId, number, length, expiresSeconds }: SignedPart): string {
    return this.#mac([method, uploadId, number, length, expiresSeconds]);
  }

  /** As `sign`. */
  signCallback(uploadId: string): string {
    return this.#mac(["callback", uploadId]);
  }

  isGood(part: SignedPart, signature: string): boolean {
    return isSame(signature, this.sign(part));
  }

  isGoodCallback(uploadId: string, signature: string): boolean {
    return isSame(signature, this.signCallback(uploadId));
  }

  #mac(facts: readonly (string | number)[]): string {
    return createHmac("sha256", this.#key).update(facts.join("\n")).digest("base64url");
  }
}

function isSame(given: string, expected: string): boolean {
  const [one, other] = [Buffer.from(given), Buffer.from(expected)];
  return one.length === other.length && timingSafeEqual(one, other);
}
