/** The refusals of operations on objects, in the words that clients of S3 know. */
import type { OperationalError } from "../../../core/errors.ts";
import { refusal } from "../errors.ts";

type Fields = Readonly<Record<string, string | number>>;

export const invalidArgument = (message: string, fields: Fields = {}): OperationalError =>
  refusal("InvalidArgument", message, { fields });

export const invalidRequest = (message: string): OperationalError =>
  refusal("InvalidRequest", message);

export const invalidDigest = (message: string): OperationalError =>
  refusal("InvalidDigest", message);

export const invalidTag = (message: string): OperationalError => refusal("InvalidTag", message);

export const invalidPart = (message: string): OperationalError => refusal("InvalidPart", message);

export const metadataTooLarge = (bytes: number, bytesMax: number): OperationalError =>
  refusal("MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size", {
    fields: { Size: bytes, MaxSizeAllowed: bytesMax },
  });

/** One request carries no more: larger objects come in parts. */
export const putBytesMax = 5 * 1024 ** 3;

export const entityTooLarge = (bytes: number, bytesMax = putBytesMax): OperationalError =>
  refusal("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size", {
    fields: { ProposedSize: bytes, MaxSizeAllowed: bytesMax },
  });
