/**
 * A metadata store of a server that may be read-only: every call that changes something asks first. Whatever
 * path a change takes, and whoever forgot to ask, this is where it ends.
 */
import type { MetadataStore } from "./ports/metadata-store.ts";

type Calls = Omit<MetadataStore, typeof Symbol.asyncDispose>;

/** Complete by type: a new call says what it does before it compiles. */
const effects: Readonly<Record<keyof Calls, "reads" | "changes">> = {
  createBucket: "changes",
  getBucket: "reads",
  listBuckets: "reads",
  changeBucket: "changes",
  deleteBucket: "changes",
  commitObject: "changes",
  copyObject: "changes",
  changeObject: "changes",
  getObject: "reads",
  headObject: "reads",
  findObjects: "reads",
  listObjects: "reads",
  deleteObject: "changes",
  deleteObjects: "changes",
  knownBlobs: "reads",
  listGarbage: "reads",
  recordGarbage: "changes",
  releasePieces: "changes",
  forgetGarbage: "changes",
  createAccessKey: "changes",
  getAccessKey: "reads",
  listAccessKeys: "reads",
  changeAccessKey: "changes",
  deleteAccessKey: "changes",
  getGrantUses: "reads",
  forgetGrantUses: "changes",
  listStorages: "reads",
  putStorage: "changes",
  deleteStorage: "changes",
  countBlobsOfStorage: "reads",
  getSetting: "reads",
  putSetting: "changes",
  probe: "reads",
  createUpload: "changes",
  getUpload: "reads",
  listUploads: "reads",
  takeUpload: "changes",
  renewUploads: "changes",
  checkpointUpload: "changes",
  releaseUpload: "changes",
  putUploadPart: "changes",
  listUploadParts: "reads",
  listMultipart: "reads",
  completeUpload: "changes",
  completeByReference: "changes",
  completePartial: "changes",
  partialBlobs: "reads",
  cancelUpload: "changes",
  forgetUpload: "changes",
  listUploadsDue: "reads",
  uploadsOwning: "reads",
  bucketUsage: "reads",
  listTrash: "reads",
  getTrash: "reads",
  restoreTrash: "changes",
  purgeTrash: "changes",
  purgeTrashDue: "changes",
  appendRefusals: "changes",
  pruneAudit: "changes",
  listAudit: "reads",
  verifyAudit: "reads",
  putBulkDelete: "changes",
  getBulkDelete: "reads",
  listBulkDeletes: "reads",
  advanceBulkDelete: "changes",
};

/** Its changes reject with what `assertWritable` throws. */
export function fencedStore(store: MetadataStore, assertWritable: () => void): MetadataStore {
  const calls = Object.entries(effects).map(([name, effect]) => {
    const call = Reflect.get(store, name).bind(store);
    if (effect === "reads") return [name, call] as const;
    const asking = async (...args: readonly unknown[]): Promise<unknown> => {
      assertWritable();
      return await call(...args);
    };
    return [name, asking] as const;
  });
  // The names are those of the table, and each call is the store's own behind a question.
  const asked = Object.fromEntries(calls) as unknown as Calls;
  return { ...asked, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() };
}
