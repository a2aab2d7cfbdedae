/** Resumable uploads as front ends and the server use them. */

export { LeaseHolder } from "./lease-holder.ts";
export type { ResumableUploadsOptions } from "./options.ts";
export type {
  AppendRequest,
  AppendResult,
  BodyChecks,
  ConcatenateRequest,
  CreateRequest,
  UploadLimits,
  UploadView,
} from "./requests.ts";
export { ResumableUploads } from "./resumable-uploads.ts";
export { SteadyClock } from "./steady-clock.ts";
export { UploadUpkeep } from "./upkeep.ts";
