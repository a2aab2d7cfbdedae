/**
 * The whole that parts will be, known without its bytes: which of the stored parts a client names, its
 * length, its ETag and its checksums; and what is wrong with what the client says of it.
 */
import { strict as assert } from "node:assert";
import { compositeDigest, wholeDigest } from "../digests/combine-parts.ts";
import { firstDifference } from "../digests/digest-set.ts";
import { OperationalError } from "../errors.ts";
import type { DigestName, Digests } from "../ports/storage-driver.ts";
import type { UploadPartBlob } from "../ports/upload-store.ts";
import {
  checksumOf,
  type MultipartChecksum,
  multipartAttributes,
  partSizesText,
} from "./object-attributes.ts";
import type { CompleteMultipartRequest, NamedPart } from "./requests.ts";

/** What an object of parts says beside its bytes. */
export interface Whole {
  readonly length: number;
  /** `hex(md5(md5s of the parts))-N`, as S3 makes it. */
  readonly etag: string;
  /** CRC-64/NVME, the upload's checksum if it is of the full object, and those that were compared. */
  readonly digests: Digests & { readonly crc64nvme: Uint8Array };
  readonly attributes: Readonly<Record<string, string>>;
}

/** `invalid_request`: none are named. `invalid_part` (context: `reason` "order"): not ascending. */
export function assertInOrder(parts: readonly NamedPart[]): void {
  if (parts.length === 0) {
    throw new OperationalError("invalid_request", "an upload is completed with at least one part");
  }
  let last = 0;
  for (const { partNumber } of parts) {
    if (partNumber <= last) {
      throw new OperationalError("invalid_part", `part ${partNumber} is named after ${last}`, {
        context: { reason: "order", partNumber },
      });
    }
    last = partNumber;
  }
}

/**
 * The stored parts that are named. `invalid_part` (context: `reason` "unknown"): it is not there, or is
 * another; `too_small`: one before the last has fewer bytes than `partBytesMin`.
 */
export function chooseParts(
  stored: ReadonlyMap<number, UploadPartBlob>,
  named: readonly NamedPart[],
  { partBytesMin }: { readonly partBytesMin: number },
): readonly UploadPartBlob[] {
  return named.map(({ partNumber, etag, digests = {} }, index) => {
    const part = stored.get(partNumber);
    const isSame = part !== undefined && etagOfPart(part) === etag.toLowerCase();
    if (!isSame || firstDifference(digests, part.digests) !== undefined) {
      throw new OperationalError("invalid_part", `part ${partNumber} is not there as it is named`, {
        context: { reason: "unknown", partNumber, etag },
      });
    }
    if (part.length < partBytesMin && index < named.length - 1) {
      const message = `part ${partNumber} has ${part.length} bytes, fewer than ${partBytesMin}`;
      const context = { partNumber, bytes: part.length, minBytes: partBytesMin, etag };
      throw new OperationalError("too_small", message, { context });
    }
    return part;
  });
}

/**
 * `invalid_request`: the client's length or kind of checksum is another, or a digest that it gives cannot be
 * told from the parts, which may not be read. `checksum_mismatch`: a digest differs.
 */
export function wholeOf(
  parts: readonly UploadPartBlob[],
  request: Pick<
    CompleteMultipartRequest,
    "length" | "digests" | "mayRead" | "composite" | "checksum"
  >,
  uploadAttributes: Readonly<Record<string, string>>,
): Whole {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  if (request.length !== undefined && request.length !== length) {
    throw refused(`the parts have ${length} bytes, not ${request.length}`, "length");
  }
  const checksum = checksumOf(uploadAttributes);
  assertSameChecksum(checksum, request.checksum);
  const declared = toldOf(request, parts);
  assertDigests(declared, (name) => wholeDigest(name, parts));
  assertDigests(request.composite ?? {}, (name) => compositeDigest(name, parts));
  const crc64nvme = wholeDigest("crc64nvme", parts);
  assert(crc64nvme !== undefined, "every part has a CRC-64/NVME");
  const digests: Partial<Record<DigestName, Uint8Array>> = { ...declared };
  const attributes: Record<string, string> = {
    [multipartAttributes.partSizes]: partSizesText(parts.map((part) => part.length)),
  };
  if (checksum?.type === "full-object") {
    const digest = wholeDigest(checksum.name, parts);
    assert(digest !== undefined, `every part has a ${checksum.name}`);
    digests[checksum.name] = digest;
  }
  if (checksum?.type === "composite") {
    const digest = compositeDigest(checksum.name, parts);
    assert(digest !== undefined, `every part has a ${checksum.name}`);
    const value = `${Buffer.from(digest).toString("base64")}-${parts.length}`;
    attributes[multipartAttributes.compositeChecksum] = `${checksum.name}:${value}`;
  }
  return { length, etag: etagOfParts(parts), digests: { ...digests, crc64nvme }, attributes };
}

/** Of digests of the whole those that only its bytes tell. */
export function untold(digests: Digests, parts: readonly UploadPartBlob[]): readonly DigestName[] {
  const names = Object.keys(digests) as DigestName[];
  return names.filter((name) => wholeDigest(name, parts) === undefined);
}

/** Those that are compared with what the parts tell. */
function toldOf(
  { digests = {}, mayRead = false }: Pick<CompleteMultipartRequest, "digests" | "mayRead">,
  parts: readonly UploadPartBlob[],
): Digests {
  if (!mayRead) return digests;
  const left = untold(digests, parts);
  return Object.fromEntries(
    Object.entries(digests).filter(([name]) => !left.includes(name as DigestName)),
  );
}

/** Its MD5 in hex. */
export function etagOfPart({ digests }: Pick<UploadPartBlob, "digests">): string {
  return hex(digests.md5);
}

/** What the object's will be if it consists of these parts; never right if one is no MD5. */
export function etagOfNamed(parts: readonly NamedPart[]): string {
  return etagOfParts(
    parts.map(({ etag }) => ({ digests: { md5: new Uint8Array(Buffer.from(etag, "hex")) } })),
  );
}

function etagOfParts(parts: readonly { readonly digests: { readonly md5: Uint8Array } }[]): string {
  const md5 = compositeDigest(
    "md5",
    parts.map(({ digests }) => ({ length: 0, digests })),
  );
  assert(md5 !== undefined, "every part has an MD5");
  return `${hex(md5)}-${parts.length}`;
}

function assertDigests(
  expected: Digests,
  computed: (name: DigestName) => Uint8Array | undefined,
): void {
  let name: DigestName;
  for (name in expected) {
    const digest = computed(name);
    if (digest === undefined) {
      throw refused(`the ${name} of the whole is not known from those of its parts`, name);
    }
    if (firstDifference({ [name]: expected[name] }, { [name]: digest }) === undefined) continue;
    throw wrongDigest(name);
  }
}

export function wrongDigest(name: DigestName): OperationalError {
  return new OperationalError("checksum_mismatch", `the ${name} of the parts differs`, {
    context: { digest: name },
  });
}

function assertSameChecksum(
  checksum: MultipartChecksum | undefined,
  told: Partial<MultipartChecksum> = {},
): void {
  const sameName = told.name === undefined || checksum === undefined || told.name === checksum.name;
  // Without one, CRC-64/NVME of the full object is kept.
  const sameType = told.type === undefined || told.type === (checksum?.type ?? "full-object");
  if (sameName && sameType) return;
  throw refused("the upload was created with another checksum", "checksum");
}

function refused(message: string, field: string): OperationalError {
  return new OperationalError("invalid_request", message, { context: { field } });
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
}
