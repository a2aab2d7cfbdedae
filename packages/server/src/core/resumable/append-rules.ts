/** What an append may be: judged by its headers and the upload's row alone, or by what came. */
import { OperationalError } from "../errors.ts";
import type { UploadRecord } from "../ports/upload-store.ts";
import { assertNotOver, type WriteLimits } from "../write-limits.ts";
import type { AppendRequest } from "./requests.ts";
import type { Session } from "./session.ts";
import { smallBytesMax } from "./small-strategy.ts";

/** Of the whole upload, if this request is to bring all of it and to complete it. */
export function expectedLength(upload: UploadRecord, request: AppendRequest): number | undefined {
  if (upload.offset !== 0 || request.complete === "no") return undefined;
  const length = upload.length ?? (request.complete === "yes" ? request.bodyLength : undefined);
  const isWhole = request.bodyLength === undefined || request.bodyLength === length;
  return isWhole ? length : undefined;
}

/** What this request is to bring, as far as anybody has said. */
export function expectedBytes(
  { length, offset }: UploadRecord,
  { bodyLength, complete }: AppendRequest,
): number | undefined {
  if (bodyLength !== undefined) return bodyLength;
  return length === null || complete === "no" ? undefined : length - offset;
}

/** Whether one commit is likely to be all that it needs. */
export function isBrief(upload: UploadRecord, request: AppendRequest): boolean {
  const { phase, holder, place } = upload;
  if (phase !== "receiving" || holder !== null || place !== null) return false;
  const bytes = upload.length === null ? undefined : expectedLength(upload, request);
  return bytes !== undefined && bytes <= smallBytesMax;
}

/** Whether what came is all there is. */
export function isEnd(session: Session, { complete: when }: AppendRequest): boolean {
  const { received, incoming } = session;
  const { length } = session.upload;
  if (when === "no") return false;
  // The last byte may have come just before the connection broke.
  if (when === "at-length") return received === length;
  if (incoming.outcome !== "whole") return received === length;
  if (length === null || received === length) return true;
  throw inconsistentLength(length, received);
}

/** What the headers alone show to be wrong. */
export function assertAppendFits(
  upload: UploadRecord,
  request: AppendRequest,
  limits: WriteLimits,
): void {
  const { bodyLength, offset, complete: when } = request;
  const declared = request.length;
  if (declared !== undefined) {
    if (upload.length !== null && upload.length !== declared) {
      throw inconsistentLength(upload.length, declared);
    }
    if (declared < upload.offset) throw inconsistentLength(upload.offset, declared);
    assertNotOver(declared, limits);
  }
  const total = upload.length ?? declared;
  if (bodyLength === undefined) return;
  const end = offset + bodyLength;
  if (total === undefined) assertNotOver(end, limits);
  else if (end > total) throw tooLong(total);
  else if (when === "yes" && end !== total) throw inconsistentLength(total, end);
}

export function assertOffset({ offset }: UploadRecord, { offset: asked }: AppendRequest): void {
  if (asked === offset) return;
  throw new OperationalError("offset_mismatch", `offset ${asked} does not match ${offset}`, {
    context: { offset, askedOffset: asked },
  });
}

export function inconsistentLength(known: number, told: number): OperationalError {
  return new OperationalError(
    "invalid_request",
    `the upload's length is ${known}, and this request says ${told}`,
    { context: { field: "length", length: known, toldLength: told } },
  );
}

export function tooLong(total: number): OperationalError {
  return new OperationalError(
    "too_large",
    `the body passes the upload's length of ${total} bytes`,
    {
      context: { length: total },
    },
  );
}
