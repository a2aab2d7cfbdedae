/** Checksums of uploads in parts, between the words of S3 and those of core. */
import type { ChecksumName, MultipartChecksum } from "../../../core/multipart/index.ts";
import type { Digests } from "../../../core/ports/storage-driver.ts";
import {
  algorithmNames,
  algorithmOf,
  base64Of,
  type ChecksumAlgorithm,
  type ChecksumType,
  checksumAlgorithms,
} from "../objects/checksums.ts";
import { invalidRequest } from "../objects/refusals.ts";

const coreTypes = { COMPOSITE: "composite", FULL_OBJECT: "full-object" } as const;

/** What an upload is begun with. `InvalidRequest` for a pair that there is not. */
export function multipartChecksum(
  algorithmText: string | undefined,
  typeText: string | undefined,
): MultipartChecksum | undefined {
  if (algorithmText === undefined) {
    if (typeText === undefined) return undefined;
    throw invalidRequest(
      "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
    );
  }
  const algorithm = algorithmOf(algorithmText);
  const { types } = checksumAlgorithms[algorithm];
  const type = typeText === undefined ? types[0] : checksumType(typeText);
  if (type === undefined || !types.includes(type)) {
    throw invalidRequest(
      `The ${typeText} checksum type cannot be used with the ${algorithm} checksum algorithm.`,
    );
  }
  return { name: nameOf(algorithm), type: coreTypes[type] };
}

/** `InvalidRequest` for another. */
export function checksumType(text: string): ChecksumType {
  if (text === "COMPOSITE" || text === "FULL_OBJECT") return text;
  throw invalidRequest("Value for x-amz-checksum-type header is invalid.");
}

export function coreType(type: ChecksumType): MultipartChecksum["type"] {
  return coreTypes[type];
}

export function nameOf(algorithm: ChecksumAlgorithm): ChecksumName {
  return checksumAlgorithms[algorithm].digest;
}

/** As answers say it. */
export function shownChecksum({ name, type }: MultipartChecksum): {
  readonly algorithm: ChecksumAlgorithm;
  readonly type: ChecksumType;
} {
  return {
    algorithm: algorithmOf(name),
    type: type === "composite" ? "COMPOSITE" : "FULL_OBJECT",
  };
}

/** The digest of that algorithm as an XML element; nothing if it is not known. */
export function digestElement(
  digests: Digests,
  algorithm: ChecksumAlgorithm | undefined,
): Readonly<Record<string, string>> {
  if (algorithm === undefined) return {};
  const { digest, element } = checksumAlgorithms[algorithm];
  const value = digests[digest];
  return value === undefined ? {} : { [element]: base64Of(value) };
}

/** The same as a header. */
export function digestHeader(
  digests: Digests,
  algorithm: ChecksumAlgorithm | undefined,
): Readonly<Record<string, string>> {
  if (algorithm === undefined) return {};
  const { digest, header } = checksumAlgorithms[algorithm];
  const value = digests[digest];
  return value === undefined ? {} : { [header]: base64Of(value) };
}

/** The first algorithm besides those that every part has, for clients that named none with the part. */
export function extraAlgorithm(digests: Digests): ChecksumAlgorithm | undefined {
  return algorithmNames.find((algorithm) => {
    const { digest } = checksumAlgorithms[algorithm];
    // SHA-256 may be there only because the signature was over it.
    return digest !== "crc64nvme" && digest !== "sha256" && digests[digest] !== undefined;
  });
}
