/**
 * A metadata store of a server that may be read-only, or whose disk may be full: every call that changes something
 * asks first. Whatever path a change takes, and whoever forgot to ask, this is where it ends.
 *
 * On a full disk nothing is begun: calls that add what is not there are refused. The others go on: they free room, keep
 * the audit log whole, or end what was begun and has been stored already.
 */
import { isOperationalError } from "./errors.ts";
import type { MetadataStore } from "./ports/metadata-store.ts";
import type { MetadataRoom } from "./ports/room.ts";

type Calls = Omit<MetadataStore, typeof Symbol.asyncDispose>;

/** Complete by type: a new call says what it does before it compiles. */
const effects: Readonly<Record<keyof Calls, "reads" | "changes" | "adds">> = {
  createBucket: "adds",
  getBucket: "reads",
  listBuckets: "reads",
  changeBucket: "adds",
  deleteBucket: "changes",
  commitObject: "changes",
  copyObject: "adds",
  changeObject: "adds",
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
  createAccessKey: "adds",
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
  createUpload: "adds",
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
  takeIdempotencyKey: "changes",
  renewIdempotencyKey: "changes",
  recordIdempotentAnswer: "changes",
  releaseIdempotencyKey: "changes",
  forgetIdempotencyKeys: "changes",
};

/**
 * Its changes reject with what `assertWritable` throws; what adds something, with what `room` says. A change that
 * finds the disk full is tried once more if room can be made: it was rolled back.
 */
export function fencedStore(
  store: MetadataStore,
  assertWritable: () => void,
  room?: MetadataRoom,
): MetadataStore {
  const calls = Object.entries(effects).map(([name, effect]) => {
    const call = Reflect.get(store, name).bind(store);
    if (effect === "reads") return [name, call] as const;
    const asking = async (...args: readonly unknown[]): Promise<unknown> => {
      assertWritable();
      if (room === undefined) return await call(...args);
      if (effect === "adds") await room.assertRoom();
      try {
        return await call(...args);
      } catch (error) {
        if (effect === "adds" || !isOperationalError(error, "storage_full")) throw error;
        if (!(await room.makeRoom())) throw error;
        return await call(...args);
      }
    };
    return [name, asking] as const;
  });
  // The names are those of the table, and each call is the store's own behind a question.
  const asked = Object.fromEntries(calls) as unknown as Calls;
  return { ...asked, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() };
}
