/** The platform-free part of the SDK: types, errors, digests, administration. */
export type * from "@roma/contract";
export {
  Administration,
  type Buckets,
  type CallSignal,
  type Grants,
  type Keys,
  type Storages,
  type Uploads,
} from "./administration.ts";
export type { AuditFilter, AuditLog, AuditQuery, AuditReport } from "./audit.ts";
export type { BulkDeletes } from "./bulk-deletes.ts";
export { Client } from "./client.ts";
export {
  combineCrc64Nvme,
  crc64Nvme,
  type RunningDigest,
  startCrc64Nvme,
} from "./digests/crc64-nvme.ts";
export type { Download, DownloadOptions, DownloadProgress } from "./download.ts";
export {
  type ClientErrorCode,
  isRomaError,
  RomaError,
  type RomaErrorCode,
  type RomaErrorOptions,
} from "./errors.ts";
export type { Holds } from "./holds.ts";
export type { ObjectHead } from "./object-head.ts";
export type {
  Address,
  CopyOptions,
  ListOptions,
  ObjectList,
  SignalOption,
  SignUrlOptions,
} from "./objects.ts";
export { actions, parsePolicyStatement } from "./parse.ts";
export type { RetryPolicy } from "./retry.ts";
export type { TokenSource } from "./token.ts";
export type { Body, Transport, TransportRequest, TransportResponse } from "./transport.ts";
export type { Trash, TrashFilter } from "./trash.ts";
export type { Connectivity, UploadState } from "./upload/control.ts";
export type { UploadNotice, UploadOptions, UploadResult } from "./upload/job.ts";
export type { UploadProgress } from "./upload/progress.ts";
export type { ResumeRecord, ResumeStore } from "./upload/resume-store.ts";
export type {
  DigestedRange,
  Piece,
  RangedSource,
  Source,
  StreamedSource,
} from "./upload/source.ts";
export type { Upload } from "./upload/upload.ts";
export { type Platform, type RomaOptions, UploadClient } from "./upload-client.ts";
