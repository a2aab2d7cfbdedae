/**
 * Values within rows, for every kind of record: digests as columns, JSON as text, and what a value must
 * be before it is written and after it is read.
 */
import { strict as assert } from "node:assert";
import type { BlobRecord } from "../core/ports/metadata-store.ts";
import type { BlockChecks, DigestName, Digests } from "../core/ports/storage-driver.ts";
import type { DigestColumns } from "./schema.ts";

const digestBytes: Readonly<Record<DigestName, number>> = {
  crc64nvme: 8,
  md5: 16,
  crc32: 4,
  crc32c: 4,
  sha1: 20,
  sha256: 32,
};
const digestNames: readonly DigestName[] = [
  "crc64nvme",
  "md5",
  "crc32",
  "crc32c",
  "sha1",
  "sha256",
];
const blockSumBytes = 8;

/** The digests of a record: those that were computed, CRC-64/NVME always. */
export type RecordDigests = BlobRecord["digests"];

export function digestsToColumns(digests: RecordDigests): DigestColumns {
  return {
    crc64nvme: digests.crc64nvme,
    md5: digests.md5 ?? null,
    crc32: digests.crc32 ?? null,
    crc32c: digests.crc32c ?? null,
    sha1: digests.sha1 ?? null,
    sha256: digests.sha256 ?? null,
  };
}

export function columnsToDigests(row: DigestColumns): RecordDigests {
  const digests: { -readonly [Name in DigestName]?: Uint8Array } & { crc64nvme: Uint8Array } = {
    crc64nvme: row.crc64nvme,
  };
  for (const name of digestNames) {
    const digest = row[name];
    if (digest !== null) digests[name] = digest;
  }
  return digests;
}

/** Any of the digests, in hex; `null` for none. */
export function digestsToJson(digests: Digests): string | null {
  const texts: Record<string, string> = {};
  for (const name of digestNames) {
    const digest = digests[name];
    if (digest !== undefined) texts[name] = Buffer.from(digest).toString("hex");
  }
  return Object.keys(texts).length === 0 ? null : JSON.stringify(texts);
}

export function jsonToDigests(json: string | null): Digests {
  if (json === null) return {};
  const texts = parseTextRecord(json);
  const digests: { -readonly [Name in DigestName]?: Uint8Array } = {};
  for (const name of digestNames) {
    const text = texts[name];
    if (text !== undefined) digests[name] = new Uint8Array(Buffer.from(text, "hex"));
  }
  return digests;
}

export function parseTextRecord(json: string): Record<string, string> {
  const parsed = parseJson<Record<string, string>>(json);
  assert(typeof parsed === "object" && parsed !== null, "texts by name");
  return parsed;
}

export function parseTexts(json: string): readonly string[] {
  const parsed = parseJson<readonly string[]>(json);
  assert(Array.isArray(parsed) && parsed.every((text) => typeof text === "string"), "texts");
  return parsed;
}

/** Text that this folder wrote, in a column that nothing else writes. */
export function parseJson<Value>(json: string): Value {
  return JSON.parse(json);
}

export function assertRecordDigests(digests: RecordDigests): void {
  assert(digests.crc64nvme instanceof Uint8Array, "crc64nvme is there");
  assertDigests(digests);
}

export function assertDigests(digests: Digests): void {
  for (const name of digestNames) {
    const digest = digests[name];
    if (digest !== undefined && digest.length !== digestBytes[name]) {
      assert.fail(`${name} of ${digest.length} bytes`);
    }
  }
}

export function assertBlocks(blocks: BlockChecks, length: number): void {
  const { blockBytes, sums } = blocks;
  assert(Number.isSafeInteger(blockBytes) && blockBytes > 0, `blockBytes ${blockBytes}`);
  assert(sums.length % blockSumBytes === 0, `${sums.length} bytes of sums`);
  assert((sums.length / blockSumBytes) * blockBytes >= length, "the blocks cover the blob");
}

/** Neither empty nor what an engine cannot keep. */
export function assertText(text: string, field: string): void {
  if (text === "" || !isStorable(text)) assert.fail(`${field} is not a text that can be stored`);
}

/** As `assertText`, and it may be empty. */
export function assertOptionalText(text: string, field: string): void {
  if (!isStorable(text)) assert.fail(`${field} is not a text that can be stored`);
}

// Neither engine may be given a text that it cannot keep: a NUL ends a text in PostgreSQL, and a
// lone surrogate has no UTF-8 form, so two different texts would be stored as one.
function isStorable(text: string): boolean {
  return typeof text === "string" && text.isWellFormed() && !text.includes("\0");
}

export function assertCount(value: number, field: string): void {
  if (!Number.isSafeInteger(value) || value < 0) assert.fail(`${field} ${value}`);
}

export function assertInstant(at: Date): void {
  if (!Number.isSafeInteger(at.getTime())) assert.fail("an invalid instant");
}
