/** Bodies of direct uploads as they come in. */
import { z } from "zod";
import { signedMax } from "../../core/direct/index.ts";
import { bytes, metadata, text } from "./schemas.ts";

const hex = (digestBytes: number) =>
  z
    .string()
    .regex(new RegExp(`^[0-9a-fA-F]{${digestBytes * 2}}$`), `is not ${digestBytes * 2} hex digits`);

const checksums = z.strictObject({
  crc64nvme: hex(8).optional(),
  md5: hex(16).optional(),
  sha256: hex(32).optional(),
});

export const partNumbersMax = 10_000;

/** `POST /v1/uploads`. */
export const directUpload = z.strictObject({
  bucket: text,
  key: z.string().optional(),
  filename: text.optional(),
  length: z.int().min(0),
  contentType: z.string().max(255).optional(),
  metadata: metadata.optional(),
  checksums: checksums.optional(),
  createOnly: z.boolean().optional(),
  via: z.enum(["auto", "storage", "server"]).optional(),
  partBytes: bytes.optional(),
  instant: z.boolean().optional(),
  form: z.boolean().optional(),
  callback: z.boolean().optional(),
});

/** `POST /v1/uploads/{id}/requests`. */
export const signRequests = z.strictObject({
  partNumbers: z.array(z.int()).min(1).max(signedMax).optional(),
});

/** `POST /v1/uploads/{id}/proof`. */
export const proof = z.strictObject({ digests: z.array(hex(32)).min(1).max(64) });

/**
 * `POST /v1/uploads/{id}/oss-callback`, as the form has OSS fill it in. A hint: what counts is what the storage answers
 * when the upload is completed.
 */
export const ossCallback = z.object({
  uploadId: z.string().max(64),
  bucket: z.string().max(255),
  object: z.string().max(4096),
  etag: z.string().max(255),
  size: z.int().min(0),
});

/** `POST /v1/uploads/{id}/complete`. */
export const completeDirectUpload = z.strictObject({
  checksums: checksums.optional(),
  parts: z
    .array(z.strictObject({ number: z.int(), etag: z.string().max(1024) }))
    .max(partNumbersMax)
    .optional(),
});
