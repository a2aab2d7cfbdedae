/** Which storage takes a new upload, by the bucket as it is at this moment, and whether it has room. */
import type { Buckets } from "./buckets.ts";
import { placeObject, possiblePlaces } from "./placement.ts";
import type { BucketRecord } from "./ports/metadata-store.ts";
import type { Storages } from "./ports/storages.ts";

/** Which storage it is. `storage_full`, `unavailable`: the one chosen takes no bytes at the moment. */
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
  if (storages.readiness(storageId) !== "closed") {
    await storages.assertRoom?.([storageId]);
    return storageId;
  }
  // The bucket was read when the request came; its placement may have been changed since, and the
  // storage drained because nothing goes there any more.
  return place(await buckets.reread(subject.bucket.name));
}

/**
 * Before a byte is asked for: rejects as `choosePlace` does when no storage that it may choose takes new bytes.
 */
export async function assertSomePlace(
  {
    bucket,
    key,
    length,
  }: {
    readonly bucket: BucketRecord;
    readonly key: string;
    readonly length?: number | undefined;
  },
  { storages }: { readonly storages: Storages },
): Promise<void> {
  if (storages.assertRoom === undefined) return;
  const subject = { key, ...(length === undefined ? {} : { length }) };
  await storages.assertRoom(possiblePlaces(bucket.placement, subject, storages.defaultId));
}
