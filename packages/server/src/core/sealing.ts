/**
 * Sealing of secrets: AES-256-GCM with a key that is kept outside the metadata store, so that a copy
 * of the database alone opens nothing. S3 signatures need the secrets themselves, so they cannot be
 * hashed.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import { OperationalError } from "./errors.ts";

export interface Sealer {
  /** `name` is bound in: a sealed secret moved to another row does not open. */
  seal(secret: string, name: string): Uint8Array;
  /** `internal` if the sealing key is not the one that sealed it. */
  open(sealed: Uint8Array, name: string): string;
  /** 32 bytes that only this purpose has (HKDF, RFC 5869): for signatures of the server's own. */
  deriveKey(purpose: string): Uint8Array;
}

const version = 1;
const nonceBytes = 12;
const tagBytes = 16;

/** `key` has 32 bytes. */
export function createSealer(key: Uint8Array): Sealer {
  if (key.length !== 32) throw new RangeError(`sealing key has ${key.length} bytes, not 32`);
  return {
    deriveKey: (purpose) =>
      new Uint8Array(hkdfSync("sha256", key, new Uint8Array(), `roma ${purpose}`, 32)),
    seal(secret, name) {
      const nonce = randomBytes(nonceBytes);
      const cipher = createCipheriv("aes-256-gcm", key, nonce).setAAD(Buffer.from(name));
      const text = Buffer.concat([cipher.update(secret, "utf8"), cipher.final()]);
      return Buffer.concat([Buffer.of(version), nonce, cipher.getAuthTag(), text]);
    },
    open(sealed, name) {
      const bytes = Buffer.from(sealed);
      try {
        if (bytes[0] !== version) throw new RangeError(`sealed form ${bytes[0]} is unknown`);
        const nonce = bytes.subarray(1, 1 + nonceBytes);
        const tag = bytes.subarray(1 + nonceBytes, 1 + nonceBytes + tagBytes);
        const decipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: tagBytes })
          .setAAD(Buffer.from(name))
          .setAuthTag(tag);
        const text = decipher.update(bytes.subarray(1 + nonceBytes + tagBytes));
        return Buffer.concat([text, decipher.final()]).toString("utf8");
      } catch (cause) {
        throw new OperationalError(
          "internal",
          "a sealed secret does not open with this sealing key",
          {
            cause,
          },
        );
      }
    },
  };
}
