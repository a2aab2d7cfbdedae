/** What a complete upload made, for who asks again. */
import { firstDifference } from "../digests/digest-set.ts";
import { OperationalError } from "../errors.ts";
import type { MetadataStore } from "../ports/metadata-store.ts";
import type { UploadRecord } from "../ports/upload-store.ts";
import type { CompleteDirectRequest, CompletedDirect } from "./requests.ts";

/** `object_not_found`: the object was replaced or deleted since. `checksum_mismatch`. */
export async function replay(
  { bucket, key, version }: UploadRecord,
  { digests = {} }: Pick<CompleteDirectRequest, "digests">,
  { metadata }: { readonly metadata: Pick<MetadataStore, "headObject"> },
): Promise<CompletedDirect> {
  const object = key === null ? undefined : await metadata.headObject(bucket, key);
  if (object === undefined || object.version !== version) {
    throw new OperationalError("object_not_found", "the object was replaced or deleted since");
  }
  const different = firstDifference(digests, object.digests);
  if (different !== undefined) {
    throw new OperationalError("checksum_mismatch", `the ${different} of the upload differs`, {
      context: { digest: different },
    });
  }
  return { object, replayed: true };
}
