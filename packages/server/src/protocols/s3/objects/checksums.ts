/**
 * The checksums of S3 (`x-amz-checksum-*`): what a request declares of its body, what is remembered with
 * an object, and what is shown of it. A declared checksum is compared or refused, never passed over.
 */
import type { IncomingHttpHeaders } from "node:http";
import { type ChecksumName, compositeChecksumOf } from "../../../core/multipart/index.ts";
import type { ObjectRecord } from "../../../core/ports/metadata-store.ts";
import type { Digests } from "../../../core/ports/storage-driver.ts";
import { invalidDigest, invalidRequest } from "./refusals.ts";

export type ChecksumAlgorithm = "CRC32" | "CRC32C" | "CRC64NVME" | "SHA1" | "SHA256";

/** Of all bytes, or of the digests of the parts. */
export type ChecksumType = "FULL_OBJECT" | "COMPOSITE";

interface AlgorithmFacts {
  readonly digest: ChecksumName;
  readonly bytes: number;
  readonly header: string;
  /** In XML. */
  readonly element: string;
  readonly types: readonly ChecksumType[];
}

const headerPrefix = "x-amz-checksum-";

/** All that are offered. */
export const checksumAlgorithms: Readonly<Record<ChecksumAlgorithm, AlgorithmFacts>> = {
  CRC32: facts("crc32", 4, "ChecksumCRC32", ["COMPOSITE", "FULL_OBJECT"]),
  CRC32C: facts("crc32c", 4, "ChecksumCRC32C", ["COMPOSITE", "FULL_OBJECT"]),
  CRC64NVME: facts("crc64nvme", 8, "ChecksumCRC64NVME", ["FULL_OBJECT"]),
  SHA1: facts("sha1", 20, "ChecksumSHA1", ["COMPOSITE"]),
  SHA256: facts("sha256", 32, "ChecksumSHA256", ["COMPOSITE"]),
};

export const algorithmNames = Object.keys(checksumAlgorithms) as readonly ChecksumAlgorithm[];

/** A checksum that a request says its body has. */
export interface DeclaredChecksum {
  readonly algorithm: ChecksumAlgorithm;
  /** Absent: it comes in the trailer. */
  readonly value?: Uint8Array;
}

/** A checksum as it is shown. */
export interface ShownChecksum {
  readonly algorithm: ChecksumAlgorithm;
  readonly type: ChecksumType;
  /** Base64; of a composite one with `-` and the number of parts. */
  readonly text: string;
}

/** They say something about checksums, and are none. */
const otherHeaders = new Set(["algorithm", "type", "mode"].map((name) => headerPrefix + name));

/** Headers only: what a presigned URL says of a body was said before there was one. */
export function declaredChecksum(headers: IncomingHttpHeaders): DeclaredChecksum | undefined {
  const named = Object.keys(headers).filter(
    (name) => name.startsWith(headerPrefix) && !otherHeaders.has(name),
  );
  const trailers = (headerText(headers, "x-amz-trailer") ?? "")
    .split(",")
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name.startsWith(headerPrefix));
  if (named.length + trailers.length > 1) {
    throw invalidRequest("Expecting a single x-amz-checksum- header or trailer.");
  }
  const sdkName = headerText(headers, "x-amz-sdk-checksum-algorithm");
  const [header = trailers[0]] = named;
  if (header === undefined) {
    if (sdkName === undefined) return undefined;
    throw invalidRequest(
      "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* " +
        "or x-amz-trailer headers were found.",
    );
  }
  const algorithm = algorithmOf(header.slice(headerPrefix.length));
  if (sdkName !== undefined && algorithmOf(sdkName) !== algorithm) {
    throw invalidRequest("x-amz-sdk-checksum-algorithm is not that of the checksum sent.");
  }
  const text = headerText(headers, header);
  return text === undefined || named.length === 0
    ? { algorithm }
    : { algorithm, value: checksumValue(algorithm, text, header) };
}

/** `InvalidRequest` for one that is not offered. */
export function algorithmOf(text: string): ChecksumAlgorithm {
  const upper = text.trim().toUpperCase();
  const found = algorithmNames.find((name) => name === upper);
  if (found !== undefined) return found;
  throw invalidRequest(
    "Checksum algorithm provided is unsupported. Please try again with any of the valid types: " +
      `[${algorithmNames.join(", ")}]`,
  );
}

/** Strict base64 of as many bytes as the algorithm has; `InvalidRequest` names where it stood. */
export function checksumValue(
  algorithm: ChecksumAlgorithm,
  text: string,
  where: string,
): Uint8Array {
  const value = base64(text.trim());
  if (value?.length === checksumAlgorithms[algorithm].bytes) return value;
  throw invalidRequest(`Value for ${where} header is invalid.`);
}

/** `InvalidDigest` unless it is base64 of 16 bytes. */
export function declaredMd5(headers: IncomingHttpHeaders): Digests {
  const text = headerText(headers, "content-md5");
  if (text === undefined) return {};
  const md5 = base64(text.trim());
  if (md5?.length !== 16) throw invalidDigest("The Content-MD5 you specified was invalid.");
  return { md5 };
}

/** What an object remembers of its checksum; nothing where CRC-64/NVME is all there is. */
export function checksumAttributes(
  algorithm: ChecksumAlgorithm | undefined,
): Readonly<Record<string, string>> {
  return algorithm === undefined ? {} : { [algorithmAttribute]: algorithm };
}

export const algorithmAttribute = "s3-checksum-algorithm";
/** Of all bytes, in base64, where it is not among the blob's digests: a copy asked for it. */
export const valueAttribute = "s3-checksum";

/** The one checksum of an object: the one it was sent with, else CRC-64/NVME. */
export function checksumOf({ attributes, digests }: ObjectRecord): ShownChecksum {
  const composite = compositeChecksumOf(attributes);
  if (composite !== undefined) {
    return { algorithm: algorithmOf(composite.name), type: "COMPOSITE", text: composite.value };
  }
  const named = attributes[algorithmAttribute];
  const algorithm = algorithmNames.find((name) => name === named) ?? "CRC64NVME";
  const type = "FULL_OBJECT";
  const kept = attributes[valueAttribute];
  if (kept !== undefined) return { algorithm, type, text: kept };
  const digest = digests[checksumAlgorithms[algorithm].digest];
  if (digest !== undefined) return { algorithm, type, text: base64Of(digest) };
  return { algorithm: "CRC64NVME", type, text: base64Of(digests.crc64nvme) };
}

/** `x-amz-checksum-crc32: …` and its type. */
export function checksumHeaders({
  algorithm,
  type,
  text,
}: ShownChecksum): Readonly<Record<string, string>> {
  return {
    [checksumAlgorithms[algorithm].header]: text,
    "x-amz-checksum-type": type,
  };
}

/** The same in XML. */
export function checksumElements({
  algorithm,
  type,
  text,
}: ShownChecksum): Readonly<Record<string, string>> {
  return { [checksumAlgorithms[algorithm].element]: text, ChecksumType: type };
}

export function base64Of(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}

export function headerText(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value.join(",") : value;
}

function base64(text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, "base64");
  return bytes.toString("base64") === text ? new Uint8Array(bytes) : undefined;
}

function facts(
  digest: ChecksumName,
  bytes: number,
  element: string,
  types: readonly ChecksumType[],
): AlgorithmFacts {
  return { digest, bytes, header: headerPrefix + digest, element, types };
}
