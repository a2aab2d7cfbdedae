/**
 * One object of several complete partials. Their bytes are read where they are, verified, and written
 * as one upload: so that the whole has its own blob and sums, and partials can go at any time after.
 */
import { OperationalError } from "../errors.ts";
import type { BlobRecord, MetadataStore } from "../ports/metadata-store.ts";
import type { Body } from "../ports/storage-driver.ts";
import type { Storages } from "../ports/storages.ts";
import type { UploadRecord } from "../ports/upload-store.ts";
import type { ConcatenateRequest } from "./requests.ts";

const partsMax = 10_000;

/** The blobs of the parts, in order; one may come twice. `upload_not_found`, `invalid_request`. */
export async function partialsOf(
  request: ConcatenateRequest,
  options: {
    readonly metadata: Pick<MetadataStore, "partialBlobs">;
    readonly require: (id: string) => Promise<UploadRecord>;
  },
): Promise<readonly BlobRecord[]> {
  const { parts, bucket } = request;
  if (parts.length === 0) throw invalid("there are no parts");
  if (parts.length > partsMax) throw invalid(`there are more than ${partsMax} parts`);
  const ids = [...new Set(parts)];
  for (const id of ids) {
    const upload = await options.require(id);
    if (upload.kind !== "partial") throw invalid(`upload ${id} is not partial`);
    if (upload.bucket !== bucket) throw invalid(`upload ${id} is of another bucket`);
    if (upload.phase !== "complete") throw invalid(`partial upload ${id} is not complete`);
  }
  const blobs = await options.metadata.partialBlobs(ids);
  return parts.map((id) => {
    const blob = blobs.get(id);
    if (blob === undefined) throw new OperationalError("upload_not_found", "a part is gone");
    return blob;
  });
}

/** The bytes of all of them, each verified before its last chunk is given out. */
export async function* bodyOfPartials(
  parts: readonly BlobRecord[],
  { storages, signal }: { readonly storages: Storages; readonly signal: AbortSignal },
): Body {
  for (const part of parts) {
    if (part.length === 0) continue;
    using lease = storages.lease(part.storageId, "read");
    const { length, digests, blocks } = part;
    const expected = {
      length,
      crc64nvme: digests.crc64nvme,
      ...(blocks === undefined ? {} : { blocks }),
    };
    const { body } = await lease.driver.get(part.blobKey, { signal, expected });
    await using reading = body;
    // A driver uses the memory of a chunk again, and who takes it may keep it for a while.
    for await (const chunk of reading) yield Uint8Array.from(chunk);
  }
}

function invalid(message: string): OperationalError {
  return new OperationalError("invalid_request", message, { context: { field: "parts" } });
}
