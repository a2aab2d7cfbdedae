/** An upload that this protocol made, in the bucket of the request's path. */
import { OperationalError } from "../../core/errors.ts";
import type { UploadView } from "../../core/resumable/index.ts";
import { pathParameter } from "./path.ts";
import type { Exchange, TusServices } from "./services.ts";

export const protocol = "tus";

/** What is kept of a creation, to be given back verbatim. */
export interface TusAttributes {
  readonly metadata?: string;
  readonly concat?: string;
}

export interface OwnUpload extends UploadView {
  readonly attributes: UploadView["attributes"] & TusAttributes;
}

/** As it is now. `upload_not_found`: another protocol's is none of ours, nor is another bucket's. */
export async function ownUpload(
  { resumable }: TusServices,
  { request, caller, bucket }: Exchange,
): Promise<OwnUpload> {
  const upload = await resumable.get(caller.actor, pathParameter(request, "id"));
  if (upload.protocol === protocol && upload.bucket === bucket) return upload;
  throw new OperationalError("upload_not_found", "there is no such upload");
}
