/** Which storage takes a new upload, by the bucket as it is at this moment, and whether it has room. */
import type { Buckets } from "./buckets.ts";
import { placeObject, possiblePlaces } from "./placement.ts";
import type { BucketRecord } from "./ports/metadata-store.ts";
import type { Storages } from "./ports/storages.ts";

interface Subject {
  readonly bucket: BucketRecord;
  readonly key: string;
  /** Of the whole object; absent when the client did not say. */
  readonly length?: number | undefined;
  /** What is to be written there now, and must fit; absent when nobody knows, or nothing is. */
  readonly bytes?: number | undefined;
}

/**
 * Which storage it is. `storage_full`, `unavailable`: the one chosen takes no bytes, or not so many, at the
 * moment.
 */
export async function choosePlace(
  subject: Subject & { readonly contentType: string },
  { storages, buckets }: { readonly storages: Storages; readonly buckets: Buckets },
): Promise<string> {
  const { key, contentType, length, bytes } = subject;
  const place = ({ placement }: BucketRecord): string =>
    placeObject(
      placement,
      { key, contentType, ...(length === undefined ? {} : { length }) },
      { defaultId: storages.defaultId, isReady: (id) => storages.readiness(id, bytes) === "ready" },
    );
  const storageId = place(subject.bucket);
  if (storages.readiness(storageId) !== "closed") {
    await storages.assertRoom?.([storageId], bytes);
    return storageId;
  }
  // The bucket was read when the request came; its placement may have been changed since, and the
  // storage drained because nothing goes there any more.
  return place(await buckets.reread(subject.bucket.name));
}

/**
 * Before a byte is asked for: rejects as `choosePlace` does when no storage that it may choose takes new bytes, or
 * so many.
 */
export async function assertSomePlace(
  { bucket, key, length, bytes }: Subject,
  { storages }: { readonly storages: Storages },
): Promise<void> {
  if (storages.assertRoom === undefined) return;
  const subject = { key, ...(length === undefined ? {} : { length }) };
  await storages.assertRoom(possiblePlaces(bucket.placement, subject, storages.defaultId), bytes);
}
