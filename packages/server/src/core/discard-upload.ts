/** The end of an upload that was cancelled or that is to be forgotten: in its storage, and in the store. */
import type { MetadataStore } from "./ports/metadata-store.ts";
import type { Storages } from "./ports/storages.ts";
import type { UploadTaken } from "./ports/upload-store.ts";

const cancelMsMax = 30_000;

/**
 * Removes what the storage holds of it, and its rows. What fails can be done again: the upload stays
 * `cancelling`, and the upkeep finds it.
 */
export async function discardUpload(
  { upload }: Pick<UploadTaken, "upload">,
  options: {
    readonly metadata: Pick<MetadataStore, "forgetUpload">;
    readonly storages: Storages;
    readonly garbageDueAt: Date;
  },
): Promise<void> {
  const { metadata, storages, garbageDueAt } = options;
  const { place } = upload;
  if (upload.phase === "cancelling" && place !== null && place.token !== null) {
    const address = { key: place.blobKey, token: place.token };
    using lease = storages.lease(place.storageId, "delete");
    await lease.driver.parts?.cancel(address, { signal: AbortSignal.timeout(cancelMsMax) });
  }
  await metadata.forgetUpload(upload.id, { garbageDueAt });
}
