/**
 * What an object keeps of having come in parts, as texts among its attributes: the sizes of the parts, so
 * that each can be read by its number, and the checksum that was made from theirs.
 */
import { strict as assert } from "node:assert";
import type { DigestName } from "../ports/storage-driver.ts";

/** What S3 calls a checksum. */
export type ChecksumName = Exclude<DigestName, "md5">;

/**
 * `full-object`: of all bytes, which only CRCs can be made from those of parts. `composite`: of the parts'
 * raw digests in their order; CRC-64/NVME has none.
 */
export interface MultipartChecksum {
  readonly name: ChecksumName;
  readonly type: "composite" | "full-object";
}

/** Reserved among the attributes of objects and uploads: a front end does not set them itself. */
export const multipartAttributes = {
  /** Sizes of the parts in bytes, `8388608*12,77`: a run of equal ones is written once. */
  partSizes: "part-sizes",
  /** `crc32:<base64>-<count of parts>`. */
  compositeChecksum: "composite-checksum",
  /** Of an upload that runs: `crc32:composite`. */
  checksum: "multipart-checksum",
  /** Of a direct upload that runs: by which way its bytes come, and the size of its parts. */
  direct: "direct-upload",
} as const;

type Attributes = Readonly<Record<string, string>>;

/** Where one part lies in its object. Both bounds are inclusive; of an empty part `last < first`. */
export interface PartRange {
  readonly firstByte: number;
  readonly lastByte: number;
}

export function partSizesText(sizes: readonly number[]): string {
  const runs: { readonly size: number; count: number }[] = [];
  for (const size of sizes) {
    const last = runs.at(-1);
    if (last?.size === size) last.count += 1;
    else runs.push({ size, count: 1 });
  }
  return runs.map(({ size, count }) => (count === 1 ? `${size}` : `${size}*${count}`)).join(",");
}

/** In the order of the object's bytes; `undefined` of an object that did not come in parts. */
export function partSizesOf(attributes: Attributes): readonly number[] | undefined {
  const text = attributes[multipartAttributes.partSizes];
  if (text === undefined) return undefined;
  return text.split(",").flatMap((run) => {
    const [size, count = 1] = run.split("*").map(Number);
    assert(Number.isSafeInteger(size) && Number.isSafeInteger(count), "part sizes are numbers");
    return Array.from({ length: count }, () => size ?? 0);
  });
}

/** The part with this number, from 1; `undefined` if there is none. */
export function partRangeOf(sizes: readonly number[], partNumber: number): PartRange | undefined {
  const size = sizes[partNumber - 1];
  if (size === undefined) return undefined;
  const firstByte = sizes.slice(0, partNumber - 1).reduce((sum, before) => sum + before, 0);
  return { firstByte, lastByte: firstByte + size - 1 };
}

/** The checksum made from those of the parts: its name, and `<base64>-<count>` as S3 writes it. */
export function compositeChecksumOf(
  attributes: Attributes,
): { readonly name: string; readonly value: string } | undefined {
  const text = attributes[multipartAttributes.compositeChecksum];
  if (text === undefined) return undefined;
  const colon = text.indexOf(":");
  return { name: text.slice(0, colon), value: text.slice(colon + 1) };
}

const names = ["crc32", "crc32c", "crc64nvme", "sha1", "sha256"] as const;

export function checksumText({ name, type }: MultipartChecksum): string {
  return `${name}:${type}`;
}

/** What `checksumText` wrote among an upload's attributes. */
export function checksumOf(attributes: Attributes): MultipartChecksum | undefined {
  const [given, type] = (attributes[multipartAttributes.checksum] ?? "").split(":");
  const name = names.find((known) => known === given);
  if (name === undefined || (type !== "composite" && type !== "full-object")) return undefined;
  return { name, type };
}

/** Without those that are reserved. */
export function frontEndAttributes(attributes: Attributes): Record<string, string> {
  const reserved: readonly string[] = Object.values(multipartAttributes);
  return Object.fromEntries(
    Object.entries(attributes).filter(([name]) => !reserved.includes(name)),
  );
}
