/** Uploads in parts as front ends and the server use them. */
export { Multipart, type MultipartOptions, partBytesMax, partsMax } from "./multipart.ts";
export {
  compositeChecksumOf,
  frontEndAttributes,
  multipartAttributes,
  type PartRange,
  partRangeOf,
  partSizesOf,
} from "./object-attributes.ts";
export type {
  ChecksumName,
  CompletedMultipart,
  CompleteMultipartRequest,
  CopyPartRequest,
  CreateMultipartRequest,
  ListMultipartPage,
  ListMultipartQuery,
  ListPartsPage,
  MultipartAddress,
  MultipartChecksum,
  MultipartView,
  NamedPart,
  PartView,
  PutPartRequest,
} from "./requests.ts";
