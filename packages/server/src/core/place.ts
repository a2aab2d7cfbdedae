/** Which storage takes a new upload, by the bucket as it is at this moment. */
import type { Buckets } from "./buckets.ts";
import { placeObject } from "./placement.ts";
import type { BucketRecord } from "./ports/metadata-store.ts";
import type { Storages } from "./ports/storages.ts";

export async function choosePlace(
  subject: {
    readonly bucket: BucketRecord;
    readonly key: string;
    readonly contentType: string;
    /** Absent when the client did not say. */
    readonly length?: number | undefined;
  },
  { storages, buckets }: { readonly storages: Storages; readonly buckets: Buckets },
): Promise<string> {
  const { key, contentType, length } = subject;
  const place = ({ placement }: BucketRecord): string =>
    placeObject(
      placement,
      { key, contentType, ...(length === undefined ? {} : { length }) },
      { defaultId: storages.defaultId, isReady: (id) => storages.readiness(id) === "ready" },
    );
  const storageId = place(subject.bucket);
  if (storages.readiness(storageId) !== "closed") return storageId;
  // The bucket was read when the request came; its placement may have been changed since, and the
  // storage drained because nothing goes there any more.
  return place(await buckets.reread(subject.bucket.name));
}
