/** One object of several complete partials: which they are, and whether they may be used. */
import { OperationalError } from "../errors.ts";
import type { BlobRecord, MetadataStore } from "../ports/metadata-store.ts";
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

function invalid(message: string): OperationalError {
  return new OperationalError("invalid_request", message, { context: { field: "parts" } });
}
