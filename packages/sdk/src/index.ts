/** The platform-free part of the SDK: types, errors, and the client over any transport. */
export type { CallSignal } from "./administration.ts";
export { bytesBody, type Credential } from "./caller.ts";
export { Client, type ClientCoreOptions, type Platform } from "./client.ts";
export { Crc64Nvme, crc64Nvme } from "./crc64-nvme.ts";
export type { Download, GetOptions } from "./download.ts";
export {
  type ClientErrorCode,
  isRomaError,
  RomaError,
  type RomaErrorCode,
} from "./errors.ts";
export type { ObjectHead } from "./object-head.ts";
export type {
  Address,
  CopyOptions,
  ListOptions,
  Progress,
  PutOptions,
  PutResult,
} from "./objects.ts";
export { actions, parsePolicyStatement } from "./parse.ts";
export type { RetryPolicy } from "./retry.ts";
export type { Body, Transport, TransportRequest, TransportResponse } from "./transport.ts";
