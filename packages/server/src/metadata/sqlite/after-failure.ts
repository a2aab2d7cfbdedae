/**
 * What becomes of a write whose request has failed meanwhile. Complete by type: a new call says it before it
 * compiles.
 */
import type { OperationalError } from "../../core/errors.ts";
import type { writes } from "../queries/operations.ts";

/**
 * `nothing`: the call has no effect any more, whether it waits or is made only then; its effect would be seen.
 * `nothing-unless-left`: the same, but a client that left was told nothing, and finds the upload's end at its URL.
 * `not-if-waiting`: one that waits is given up; one made afterwards tidies up.
 * `all`: the server's own, which never shows, or only says how far the bytes are durable.
 */
type AfterFailure = "nothing" | "nothing-unless-left" | "not-if-waiting" | "all";

const afterFailure: Readonly<Record<keyof typeof writes, AfterFailure>> = {
  createBucket: "nothing",
  changeBucket: "nothing",
  deleteBucket: "nothing",
  commitObject: "nothing",
  copyObject: "nothing",
  changeObject: "nothing",
  deleteObject: "nothing",
  deleteObjects: "nothing",
  restoreTrash: "nothing",
  purgeTrash: "nothing",
  createAccessKey: "nothing",
  changeAccessKey: "nothing",
  deleteAccessKey: "nothing",
  putStorage: "nothing",
  deleteStorage: "nothing",
  putBulkDelete: "nothing",
  createUpload: "nothing",
  putUploadPart: "nothing",
  completeUpload: "nothing-unless-left",
  completeByReference: "nothing-unless-left",
  completePartial: "nothing-unless-left",
  cancelUpload: "not-if-waiting",
  takeIdempotencyKey: "not-if-waiting",
  takeUpload: "not-if-waiting",
  purgeTrashDue: "all",
  renewIdempotencyKey: "all",
  recordIdempotentAnswer: "all",
  releaseIdempotencyKey: "all",
  forgetIdempotencyKeys: "all",
  advanceBulkDelete: "all",
  recordGarbage: "all",
  forgetGarbage: "all",
  releasePieces: "all",
  forgetGrantUses: "all",
  putSetting: "all",
  renewUploads: "all",
  checkpointUpload: "all",
  releaseUpload: "all",
  forgetUpload: "all",
  appendRefusals: "all",
  pruneAudit: "all",
  probe: "all",
};

/** Whether a call that is made after the failure is refused with it. */
export function isRefusedAfter(name: keyof typeof writes, failure: OperationalError): boolean {
  const what = afterFailure[name];
  return what === "nothing" || (what === "nothing-unless-left" && !isLeft(failure));
}

/** Whether a call that waits is given up for the failure. */
export function isGivenUpFor(name: keyof typeof writes, failure: OperationalError): boolean {
  return isRefusedAfter(name, failure) || afterFailure[name] === "not-if-waiting";
}

/** Whether a failure of its request can mean anything to the call. */
export function mayBeGivenUp(name: keyof typeof writes): boolean {
  return afterFailure[name] !== "all";
}

/** Whether it is a change that somebody sees: what an `Idempotency-Key` is for. */
export function isEffect(name: keyof typeof writes): boolean {
  const what = afterFailure[name];
  return what === "nothing" || what === "nothing-unless-left";
}

/** Nobody was answered: the client went away. */
function isLeft({ code }: OperationalError): boolean {
  return code === "incomplete_body";
}
