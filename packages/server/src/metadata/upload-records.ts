/**
 * Records of uploads to rows and back. As in `records.ts`, each is asserted before it is written and
 * after it is read.
 */
import { strict as assert } from "node:assert";
import { type BlockSumsState, blockCount } from "../core/digests/block-sums.ts";
import type { GrantTerms, WriteConditions } from "../core/ports/metadata-store.ts";
import type {
  UploadKind,
  UploadPhase,
  UploadPlace,
  UploadRecord,
  UploadSegment,
} from "../core/ports/upload-store.ts";
import type { UploadChecksRow, UploadRow, UploadSegmentRow } from "./schema.ts";
import {
  assertCount,
  assertDigests,
  assertInstant,
  assertOptionalText,
  assertRecordDigests,
  assertText,
  digestsToJson,
  jsonToDigests,
  parseJson,
  parseTextRecord,
} from "./values.ts";

const kinds: readonly UploadKind[] = ["object", "partial"];
const phases: readonly UploadPhase[] = ["receiving", "completing", "complete", "cancelling"];
const blockSumBytes = 8;

/** Beside an upload's row; all `null` where it has no checks. */
export interface ChecksColumns {
  readonly checks_block_bytes: number | null;
  readonly checks_blocks_max: number | null;
  readonly checks_length: number | null;
  readonly checks_sums: Uint8Array | null;
}

const noChecks: ChecksColumns = {
  checks_block_bytes: null,
  checks_blocks_max: null,
  checks_length: null,
  checks_sums: null,
};

/** The record's row, whose holder is not asked to yield. */
export function uploadToRow(upload: UploadRecord): UploadRow {
  assertUpload(upload);
  return {
    id: upload.id,
    bucket: upload.bucket,
    key: upload.key,
    kind: upload.kind,
    phase: upload.phase,
    protocol: upload.protocol,
    owner: upload.owner,
    offset: upload.offset,
    length: upload.length,
    reserved_bytes: upload.reservedBytes,
    fence: upload.fence,
    holder: upload.holder,
    lease_until: upload.leaseUntil?.getTime() ?? null,
    yield_requested: 0,
    storage_id: upload.place?.storageId ?? null,
    blob_key: upload.place?.blobKey ?? null,
    token: upload.place?.token ?? null,
    part_bytes: upload.place?.partBytes ?? null,
    version: upload.version,
    created_at: upload.createdAt.getTime(),
    expires_at: upload.expiresAt.getTime(),
    content_type: upload.contentType,
    conditions: conditionsToJson(upload.conditions),
    digests: digestsToJson(upload.digests),
    user_metadata: JSON.stringify(upload.userMetadata),
    attributes: JSON.stringify(upload.attributes),
    grant_terms: upload.grant === null ? null : JSON.stringify(upload.grant),
  };
}

/** Without columns of checks the record is as in lists, which leave them out. */
export function rowToUpload(row: UploadRow & Partial<ChecksColumns>): UploadRecord {
  const kind = kinds.find((known) => known === row.kind);
  assert(kind !== undefined, `kind "${row.kind}"`);
  const phase = phases.find((known) => known === row.phase);
  assert(phase !== undefined, `phase "${row.phase}"`);
  const upload: UploadRecord = {
    id: row.id,
    bucket: row.bucket,
    key: row.key,
    kind,
    protocol: row.protocol,
    owner: row.owner,
    phase,
    offset: row.offset,
    length: row.length,
    contentType: row.content_type,
    userMetadata: parseTextRecord(row.user_metadata),
    attributes: parseTextRecord(row.attributes),
    digests: jsonToDigests(row.digests),
    conditions: row.conditions === null ? {} : parseJson<WriteConditions>(row.conditions),
    grant: row.grant_terms === null ? null : jsonToGrantTerms(row.grant_terms),
    place: rowToPlace(row),
    checks: columnsToChecks({ ...noChecks, ...row }),
    reservedBytes: row.reserved_bytes,
    createdAt: new Date(row.created_at),
    expiresAt: new Date(row.expires_at),
    version: row.version,
    fence: row.fence,
    holder: row.holder,
    leaseUntil: row.lease_until === null ? null : new Date(row.lease_until),
  };
  assertUpload(upload);
  return upload;
}

function jsonToGrantTerms(json: string): GrantTerms {
  const { use, ...terms } = parseJson<GrantTerms>(json);
  // JSON has no instants.
  return use === undefined
    ? terms
    : { ...terms, use: { ...use, expiresAt: new Date(use.expiresAt) } };
}

export function checksToRow(uploadId: string, checks: BlockSumsState): UploadChecksRow {
  return {
    upload_id: uploadId,
    block_bytes: checks.blockBytes,
    blocks_max: checks.blocksMax,
    length: checks.length,
    sums: checks.sums,
  };
}

/** `storageId`: of the upload's place, where its tails are as well. */
export function segmentToRow(
  uploadId: string,
  segment: UploadSegment,
  storageId: string,
): UploadSegmentRow {
  assertSegment(segment);
  const isPart = segment.kind === "part";
  return {
    upload_id: uploadId,
    kind: segment.kind,
    number: segment.number,
    offset: segment.offset,
    length: segment.length,
    etag: isPart ? segment.etag : null,
    storage_id: isPart ? null : storageId,
    blob_key: isPart ? null : segment.blobKey,
    digests: digestsToJson(segment.digests),
  };
}

export function rowToSegment(row: UploadSegmentRow): UploadSegment {
  const { number, offset, length } = row;
  const digests = jsonToDigests(row.digests);
  let segment: UploadSegment;
  if (row.kind === "part") {
    assert(row.etag !== null, "a part has an etag");
    segment = { kind: "part", number, offset, length, etag: row.etag, digests };
  } else {
    assert(row.kind === "tail" && row.blob_key !== null, `a segment of kind "${row.kind}"`);
    const { crc64nvme } = digests;
    assert(crc64nvme !== undefined, "crc64nvme is there");
    const { blob_key: blobKey } = row;
    segment = { kind: "tail", number, offset, length, blobKey, digests: { ...digests, crc64nvme } };
  }
  assertSegment(segment);
  return segment;
}

function rowToPlace(row: UploadRow): UploadPlace | null {
  if (row.storage_id === null || row.blob_key === null) {
    assert(row.storage_id === null && row.blob_key === null, "a place is whole");
    return null;
  }
  return {
    storageId: row.storage_id,
    blobKey: row.blob_key,
    token: row.token,
    partBytes: row.part_bytes,
  };
}

function columnsToChecks(columns: ChecksColumns): BlockSumsState | null {
  const { checks_sums: sums, checks_length: length } = columns;
  const { checks_block_bytes: blockBytes, checks_blocks_max: blocksMax } = columns;
  if (sums === null || length === null || blockBytes === null || blocksMax === null) return null;
  return { blockBytes, blocksMax, length, sums };
}

function conditionsToJson(conditions: WriteConditions): string | null {
  return Object.keys(conditions).length === 0 ? null : JSON.stringify(conditions);
}

function assertUpload(upload: UploadRecord): void {
  assertText(upload.id, "id");
  assertText(upload.bucket, "bucket");
  assertText(upload.protocol, "protocol");
  assertText(upload.owner, "owner");
  assert((upload.key === null) === (upload.kind === "partial"), "a partial has no key");
  if (upload.key !== null) assertText(upload.key, "key");
  assertCount(upload.offset, "offset");
  if (upload.length !== null) assertCount(upload.length, "length");
  assert(upload.offset <= (upload.length ?? upload.offset), "the offset is within the length");
  assertCount(upload.reservedBytes, "reservedBytes");
  assertCount(upload.fence, "fence");
  const { holder, leaseUntil, version, phase } = upload;
  assert((holder === null) === (leaseUntil === null), "a lease has a holder");
  if (holder !== null) assertText(holder, "holder");
  assert((version === null) === (phase !== "complete"), "a version when it is complete");
  if (version !== null) assertText(version, "version");
  assert(holder === null || phase === "receiving" || phase === "completing", "nobody to write");
  if (upload.contentType !== null) assertOptionalText(upload.contentType, "contentType");
  for (const instant of [upload.createdAt, upload.expiresAt, leaseUntil]) {
    if (instant !== null) assertInstant(instant);
  }
  assertDigests(upload.digests);
  if (upload.grant?.use !== undefined) assertInstant(upload.grant.use.expiresAt);
  if (upload.place !== null) assertPlace(upload.place);
  if (upload.checks !== null) assertChecks(upload.checks, upload.offset);
}

function assertPlace({ storageId, blobKey, token, partBytes }: UploadPlace): void {
  assertText(storageId, "storageId");
  assertText(blobKey, "blobKey");
  if (token !== null) assertText(token, "token");
  if (partBytes !== null) assertCount(partBytes, "partBytes");
}

/** What `BlockSums` goes on from, and of the bytes that are recorded. */
function assertChecks(checks: BlockSumsState, offset: number): void {
  const { blockBytes, blocksMax, length, sums } = checks;
  assert.equal(length, offset, "the checks are of the bytes up to the offset");
  assert(Number.isSafeInteger(blockBytes) && blockBytes > 0, `blockBytes ${blockBytes}`);
  const count = blockCount(length, blockBytes);
  assert(count <= blocksMax, `${count} blocks of at most ${blocksMax}`);
  assert.equal(sums.length, count * blockSumBytes, "a sum for each block");
}

function assertSegment(segment: UploadSegment): void {
  const { number } = segment;
  assert(Number.isSafeInteger(number) && number > 0, `segment ${number}`);
  assertCount(segment.offset, "offset");
  assertCount(segment.length, "length");
  if (segment.kind === "part") {
    assertOptionalText(segment.etag, "etag");
    assertDigests(segment.digests);
  } else {
    assertText(segment.blobKey, "blobKey");
    assertRecordDigests(segment.digests);
  }
}
