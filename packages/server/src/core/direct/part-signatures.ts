/**
 * Signatures of the server's own requests for parts: one part of one upload, with its exact length, by one method,
 * until an instant. The key serves nothing else (`Sealer.deriveKey`), and is the same over restarts.
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
    const text = [method, uploadId, number, length, expiresSeconds].join("\n");
    return createHmac("sha256", this.#key).update(text).digest("base64url");
  }

  isGood(part: SignedPart, signature: string): boolean {
    const expected = Buffer.from(this.sign(part));
    const given = Buffer.from(signature);
    return given.length === expected.length && timingSafeEqual(given, expected);
  }
}
