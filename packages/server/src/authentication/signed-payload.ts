/** What a signature says about the body: `x-amz-content-sha256`, as S3 reads it. */
import { S3Refusal, wrongArgument } from "./s3-refusal.ts";
import type { CredentialScope } from "./sigv4-key.ts";

/** What the signatures of a body's chunks begin with. */
export interface ChunkSeed {
  /** Derived for the scope. */
  readonly key: Uint8Array;
  readonly scope: CredentialScope;
  /** `yyyymmddThhmmssZ`, of the request. */
  readonly date: string;
  /** Of the request, in hex. */
  readonly signature: string;
}

/** How a body comes, before anybody has verified who signed it. */
export type DeclaredPayload =
  | { readonly kind: "sha256"; readonly digest: Uint8Array }
  | { readonly kind: "unsigned" }
  | { readonly kind: "streaming"; readonly signed: boolean; readonly trailer: boolean };

export type StreamingPayload = {
  readonly kind: "streaming";
  /** Whether checksums follow the last chunk. */
  readonly trailer: boolean;
} & ({ readonly signed: true; readonly seed: ChunkSeed } | { readonly signed: false });

/** As declared, with what verifies it. */
export type SignedPayload = Exclude<DeclaredPayload, { kind: "streaming" }> | StreamingPayload;

const framings: Readonly<Record<string, DeclaredPayload>> = {
  "STREAMING-AWS4-HMAC-SHA256-PAYLOAD": { kind: "streaming", signed: true, trailer: false },
  "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER": { kind: "streaming", signed: true, trailer: true },
  "STREAMING-UNSIGNED-PAYLOAD-TRAILER": { kind: "streaming", signed: false, trailer: true },
};

export const unsignedPayload = "UNSIGNED-PAYLOAD";

/** `InvalidArgument` for what is none of S3's words, `NotImplemented` for SigV4A's. */
export function parsePayloadHash(hash: string): DeclaredPayload {
  if (hash === unsignedPayload) return { kind: "unsigned" };
  if (/^[0-9a-f]{64}$/.test(hash)) return { kind: "sha256", digest: Buffer.from(hash, "hex") };
  const framing = Object.hasOwn(framings, hash) ? framings[hash] : undefined;
  if (framing !== undefined) return framing;
  if (hash.startsWith("STREAMING-AWS4-ECDSA-")) {
    throw new S3Refusal("NotImplemented", "x-amz-content-sha256: SigV4A is not supported");
  }
  throw wrongArgument(
    "x-amz-content-sha256",
    "is neither a SHA-256 in hex, UNSIGNED-PAYLOAD nor a STREAMING- value that is known",
  );
}

/** The declared payload with the seed, once the request's own signature is verified. */
export function verifiedPayload(declared: DeclaredPayload, seed: ChunkSeed): SignedPayload {
  if (declared.kind !== "streaming") return declared;
  const { kind, trailer } = declared;
  return declared.signed ? { kind, trailer, signed: true, seed } : { kind, trailer, signed: false };
}
