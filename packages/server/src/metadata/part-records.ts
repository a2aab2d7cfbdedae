/** Parts of uploads that are blobs of their own, to rows and back; asserted as in `records.ts`. */
import { strict as assert } from "node:assert";
import type { UploadPartBlob } from "../core/ports/upload-store.ts";
import type { UploadPartRow } from "./schema.ts";
import {
  assertBlocks,
  assertCount,
  assertInstant,
  assertRecordDigests,
  assertText,
  digestsToJson,
  jsonToDigests,
} from "./values.ts";

export function partToRow(uploadId: string, part: UploadPartBlob): UploadPartRow {
  assertPart(part);
  const digests = digestsToJson(part.digests);
  assert(digests !== null, "a part has digests");
  return {
    upload_id: uploadId,
    number: part.number,
    length: part.length,
    storage_id: part.storageId,
    blob_key: part.blobKey,
    digests,
    block_bytes: part.blocks?.blockBytes ?? null,
    block_sums: part.blocks?.sums ?? null,
    created_at: part.createdAt.getTime(),
  };
}

export function rowToPart(row: UploadPartRow): UploadPartBlob {
  const digests = jsonToDigests(row.digests);
  const { crc64nvme, md5 } = digests;
  assert(crc64nvme !== undefined && md5 !== undefined, "crc64nvme and md5 are there");
  const { block_bytes: blockBytes, block_sums: sums } = row;
  assert((blockBytes === null) === (sums === null), "both block columns or neither");
  const part: UploadPartBlob = {
    number: row.number,
    length: row.length,
    storageId: row.storage_id,
    blobKey: row.blob_key,
    digests: { ...digests, crc64nvme, md5 },
    ...(blockBytes === null || sums === null ? {} : { blocks: { blockBytes, sums } }),
    createdAt: new Date(row.created_at),
  };
  assertPart(part);
  return part;
}

function assertPart(part: UploadPartBlob): void {
  const { number, length, blocks } = part;
  assert(Number.isSafeInteger(number) && number > 0, `part ${number}`);
  assertCount(length, "length");
  assertText(part.storageId, "storageId");
  assertText(part.blobKey, "blobKey");
  assertRecordDigests(part.digests);
  if (blocks !== undefined) assertBlocks(blocks, length);
  assertInstant(part.createdAt);
}
