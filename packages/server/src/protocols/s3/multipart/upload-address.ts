/** The upload that a request is about: its id in the query, its bucket and key in the path. */
import type { MultipartAddress } from "../../../core/multipart/index.ts";
import { refusal } from "../errors.ts";
import { partNumberOf } from "../objects/part-number.ts";
import { invalidArgument } from "../objects/refusals.ts";
import type { ObjectExchange } from "../services.ts";

/** `NoSuchUpload` for an empty one. */
export function uploadAddress({ bucket, key, query }: ObjectExchange): MultipartAddress {
  const uploadId = query.get("uploadId") ?? "";
  if (uploadId === "") {
    throw refusal("NoSuchUpload", "The specified upload does not exist.", {
      fields: { UploadId: uploadId },
    });
  }
  return { bucket, key, uploadId };
}

/** `InvalidArgument` if there is none, or not 1 to 10,000. */
export function requiredPartNumber(exchange: ObjectExchange): number {
  const partNumber = partNumberOf(exchange);
  if (partNumber !== undefined) return partNumber;
  throw invalidArgument("partNumber is missing", { ArgumentName: "partNumber" });
}
