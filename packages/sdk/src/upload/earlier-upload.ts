/** An upload that another page or process began: whether the server still has it, or what it became. */
import { namedPath } from "../address.ts";
import { isRomaError } from "../errors.ts";
import { completeUpload } from "./complete.ts";
import type { Job, Stored } from "./job.ts";
import { type DirectUploadAnswer, parseDirectUpload } from "./parse-direct.ts";
import type { PartSupply } from "./part-supply.ts";
import type { ResumeRecord } from "./resume-store.ts";

// These say nothing of the upload that was asked about.
const keptErrors: ReadonlySet<string> = new Set([
  ...["aborted", "unauthenticated", "access_denied", "token_failed", "source_failed"],
]);

/** The remembered upload, if the server still has it as it was; or what it became. */
export async function findUpload(
  job: Job,
  supply: PartSupply,
  record: ResumeRecord,
): Promise<DirectUploadAnswer | Stored | undefined> {
  const { caller, control, options } = job;
  const path = `${namedPath("/v1/uploads", record.uploadId)}?parts`;
  try {
    const { value: json } = await control.attempt({ policy: caller.retry }, (signal) =>
      caller.json({ method: "GET", path, parse: parseDirectUpload, signal }),
    );
    const same =
      json.bucket === options.bucket &&
      (options.key === undefined || json.key === options.key) &&
      json.length === supply.length &&
      json.transfer.kind === "parts" &&
      json.transfer.partBytes === record.partBytes;
    return same ? json : undefined;
  } catch (error) {
    if (!isRomaError(error) || error.retryable || keptErrors.has(error.code)) throw error;
    if (error.problem?.phase === "complete") return await findCompleted(job, supply, record);
    // Not there any more, or of another kind: it is of no use.
    return undefined;
  }
}

/** The object that it became, if that has the bytes of this source. */
async function findCompleted(
  job: Job,
  supply: PartSupply,
  { uploadId }: ResumeRecord,
): Promise<Stored | undefined> {
  const piece = await supply.part(1, 0, supply.length);
  const crc64nvme = await piece.crc64nvme();
  try {
    const stored = await completeUpload(job, uploadId, {});
    const { size, checksums } = stored.object;
    return size === supply.length && checksums.crc64nvme === crc64nvme ? stored : undefined;
  } catch (error) {
    if (isRomaError(error) && !error.retryable && error.code !== "aborted") return undefined;
    throw error;
  }
}
