/**
 * What is sent to a thread, with its bytes in buffers of their own. Sending a view copies all of the
 * buffer behind it, and a digest may be a few bytes of a pool or of an upload's body.
 */
import { strict as assert } from "node:assert";
import type { BlobRecord } from "../../core/ports/metadata-store.ts";
import type { DigestName, Digests } from "../../core/ports/storage-driver.ts";
import type {
  UploadCheckpoint,
  UploadPartBlob,
  UploadSegment,
} from "../../core/ports/upload-store.ts";

type RecordDigests = BlobRecord["digests"];

export function ownBlob(blob: BlobRecord): BlobRecord {
  const owned = { ...blob, digests: ownRecordDigests(blob.digests) };
  if (blob.blocks === undefined) return owned;
  const { blockBytes, sums } = blob.blocks;
  return { ...owned, blocks: { blockBytes, sums: ownCopy(sums) } };
}

export function ownCheckpoint(checkpoint: UploadCheckpoint): UploadCheckpoint {
  const { checks, add } = checkpoint;
  return {
    ...checkpoint,
    ...(checks === undefined ? {} : { checks: { ...checks, sums: ownCopy(checks.sums) } }),
    ...(add === undefined ? {} : { add: add.map(ownSegment) }),
  };
}

export function ownPart(part: UploadPartBlob): UploadPartBlob {
  const { blocks } = part;
  const { md5 } = part.digests;
  return {
    ...part,
    digests: { ...ownRecordDigests(part.digests), md5: ownCopy(md5) },
    ...(blocks === undefined ? {} : { blocks: { ...blocks, sums: ownCopy(blocks.sums) } }),
  };
}

export function ownDigests(digests: Digests): Digests {
  const owned: { -readonly [Name in DigestName]?: Uint8Array } = {};
  let name: DigestName;
  for (name in digests) {
    const digest = digests[name];
    if (digest !== undefined) owned[name] = ownCopy(digest);
  }
  return owned;
}

export function ownCopy(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes);
}

function ownSegment(segment: UploadSegment): UploadSegment {
  return segment.kind === "part"
    ? { ...segment, digests: ownDigests(segment.digests) }
    : { ...segment, digests: ownRecordDigests(segment.digests) };
}

function ownRecordDigests(digests: RecordDigests): RecordDigests {
  const { crc64nvme, ...others } = ownDigests(digests);
  assert(crc64nvme !== undefined, "crc64nvme is there");
  return { ...others, crc64nvme };
}
