/** The platform-free part of the SDK: types, errors, digests, administration. */
export { Administration, type CallSignal } from "./administration.ts";
export { Client } from "./client.ts";
export { combineCrc64Nvme, crc64Nvme, startCrc64Nvme } from "./digests/crc64-nvme.ts";
export type { Download, DownloadOptions, DownloadProgress } from "./download.ts";
export { type ClientErrorCode, isRomaError, RomaError, type RomaErrorCode } from "./errors.ts";
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
export type { UploadState } from "./upload/control.ts";
export type { UploadNotice, UploadOptions, UploadResult } from "./upload/job.ts";
export type { UploadProgress } from "./upload/progress.ts";
export type { ResumeRecord, ResumeStore } from "./upload/resume-store.ts";
export type { Upload } from "./upload/upload.ts";
export { type RomaOptions, UploadClient } from "./upload-client.ts";
