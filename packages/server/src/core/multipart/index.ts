/** Uploads in parts as front ends and the server use them. */
export { Multipart, type MultipartOptions, partBytesMax, partsMax } from "./multipart.ts";
export {
  type ChecksumName,
  compositeChecksumOf,
  frontEndAttributes,
  type MultipartChecksum,
  multipartAttributes,
  type PartRange,
  partRangeOf,
  partSizesOf,
} from "./object-attributes.ts";
export type {
  CompletedMultipart,
  CompleteMultipartRequest,
  CopyPartRequest,
  CreateMultipartRequest,
  ListMultipartPage,
  ListMultipartQuery,
  ListPartsPage,
  MultipartAddress,
  MultipartView,
  NamedPart,
  PartView,
  PutPartRequest,
} from "./requests.ts";
