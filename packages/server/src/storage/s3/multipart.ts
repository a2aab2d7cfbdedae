// Requests on an upload in parts: create, write, list, complete, cancel. A completion whose answer was
// lost is looked for before anything is decided: the blob may be there.

import { createHash } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { OperationalError } from "../../core/errors.ts";
import type { BlobHead, Call, PutOptions, UploadAddress } from "../../core/ports/storage-driver.ts";
import {
  contentTypeHeader,
  createOnlyHeaders,
  isEncrypted,
  type S3Context,
  storedKey,
} from "./context.ts";
import { combineCrc64Ecma } from "./crc64-ecma.ts";
import { classifyAnswer, classifyConnection } from "./errors.ts";
import { deleteObject, etagOf, failureStatus, findObject } from "./objects.ts";
import { prefixQuery } from "./signatures/encode.ts";
import { checkCrc, mismatch, type Sums, sumsOf } from "./sums.ts";
import {
  type ListedPart,
  parsePartPage,
  parseUploadId,
  parseUploadPage,
  parseWriteResult,
} from "./wire.ts";
import { completeXml } from "./xml.ts";

const md5Pattern = /^[0-9a-f]{32}$/i;
/** How often a lost completion is looked for; each wait is twice the one before. */
const looksMax = 5;
const lookMsMin = 100;

export async function createUpload(
  context: S3Context,
  key: string,
  options: Pick<PutOptions, "signal" | "metadata">,
): Promise<UploadAddress> {
  const { text } = await context.client.read({
    operation: "create",
    method: "POST",
    key: storedKey(context, key),
    query: [["uploads", undefined]],
    headers: contentTypeHeader(options),
    signal: options.signal,
  });
  return { key, token: parseUploadId(text) };
}

export interface WrittenPart extends ListedPart {
  readonly sums: Sums;
}

/** The storage refuses other bytes by their MD5, and what it reports is compared. */
export async function writePart(
  context: S3Context,
  { key, token }: UploadAddress,
  { partNumber, bytes, signal }: Call & { readonly partNumber: number; readonly bytes: Uint8Array },
): Promise<WrittenPart> {
  const sums = sumsOf(context, bytes);
  const { headers } = await context.client.read({
    operation: "writePart",
    method: "PUT",
    key: storedKey(context, key),
    query: uploadQuery(token, ["partNumber", String(partNumber)]),
    headers: { "content-md5": sums.md5.toString("base64") },
    body: bytes,
    signal,
  });
  checkCrc(context, headers, sums);
  if (isEncrypted(headers)) context.etagIsMd5 = false;
  const etag = etagOf(headers);
  if (etag === "") throw new SyntaxError("a part without an ETag");
  const comparable = context.dialect.partEtagIsMd5 && context.etagIsMd5 && md5Pattern.test(etag);
  if (comparable && etag.toLowerCase() !== sums.md5.toString("hex")) throw mismatch("etag");
  return { partNumber, length: bytes.length, etag, sums };
}

export async function* listUploadedParts(
  context: S3Context,
  { key, token }: UploadAddress,
  { signal }: Call,
): AsyncGenerator<ListedPart> {
  let last = 0;
  for (;;) {
    const query = uploadQuery(token, ["part-number-marker", last === 0 ? undefined : String(last)]);
    const request = { operation: "listParts", method: "GET", signal } as const;
    const { text } = await context.client.read({ ...request, key: storedKey(context, key), query });
    const page = parsePartPage(text);
    for (const part of page.parts) {
      if (part.partNumber <= last) throw new SyntaxError("a list of parts that repeats itself");
      last = part.partNumber;
      yield part;
    }
    if (!page.truncated || page.parts.length === 0) return;
  }
}

export interface Completion extends Call {
  readonly createOnly?: boolean;
}

/** In the order of numbers. The parts are what was written, and nothing else was. */
export async function completeUpload(
  context: S3Context,
  upload: UploadAddress,
  parts: readonly (ListedPart & { readonly sums?: Sums })[],
  options: Completion,
): Promise<BlobHead> {
  const sorted = parts.toSorted((a, b) => a.partNumber - b.partNumber);
  const expected = expectedOf(context, sorted);
  let told: string | undefined;
  try {
    told = await requestCompletion(context, upload, sorted, { ...options, ...expected });
  } catch (cause) {
    const error = classifyConnection(cause, "complete");
    if (options.signal.aborted || !isUncertain(error)) throw error;
    const found = await lookForCompleted(context, upload, expected, options);
    if (found === undefined) throw error;
    return found;
  }
  const head = await findObject(context, upload.key, options);
  if (head === undefined) throw lost();
  const etag = told ?? head.etag;
  const wrong =
    head.etag === etag && head.length !== expected.length
      ? "length"
      : expected.etag !== undefined && context.etagIsMd5 && etag.toLowerCase() !== expected.etag
        ? "etag"
        : undefined;
  if (wrong === undefined) return { ...head, etag, length: expected.length };
  await context.cleanups.run((signal) => deleteObject(context, upload.key, { signal }));
  throw mismatch(wrong);
}

/** The blob of an upload that is gone, if it is there and is what those parts make. */
export async function findCompleted(
  context: S3Context,
  upload: UploadAddress,
  parts: readonly ListedPart[],
  call: Call,
): Promise<BlobHead | undefined> {
  const sorted = parts.toSorted((a, b) => a.partNumber - b.partNumber);
  const head = await findObject(context, upload.key, call);
  return head !== undefined && isExpected(context, head, expectedOf(context, sorted))
    ? head
    : undefined;
}

interface Expected {
  readonly length: number;
  readonly etag: string | undefined;
  readonly crc64Ecma: bigint | undefined;
}

function expectedOf(
  { dialect }: S3Context,
  parts: readonly (ListedPart & { readonly sums?: Sums })[],
): Expected {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const known = dialect.multipartEtagForm === "aws" && parts.every((part) => isMd5(part.etag));
  const md5s = Buffer.concat(parts.map(({ etag }) => Buffer.from(etag, "hex")));
  const etag = known
    ? `${createHash("md5").update(md5s).digest("hex")}-${parts.length}`
    : undefined;
  return { length, etag, crc64Ecma: crcOf(parts) };
}

function crcOf(
  parts: readonly { readonly length: number; readonly sums?: Sums }[],
): bigint | undefined {
  let crc = 0n;
  for (const { length, sums } of parts) {
    if (sums?.crc64Ecma === undefined) return undefined;
    crc = combineCrc64Ecma(crc, sums.crc64Ecma, length);
  }
  return crc;
}

function isMd5(etag: string): boolean {
  return md5Pattern.test(etag);
}

function isExpected({ etagIsMd5 }: S3Context, head: BlobHead, expected: Expected): boolean {
  if (head.length !== expected.length) return false;
  return expected.etag === undefined || !etagIsMd5 || head.etag.toLowerCase() === expected.etag;
}

/** The ETag that the answer names, if it names one. */
async function requestCompletion(
  context: S3Context,
  { key, token }: UploadAddress,
  parts: readonly ListedPart[],
  options: Completion & Pick<Expected, "crc64Ecma">,
): Promise<string | undefined> {
  const { client, dialect } = context;
  const { createOnly = false, signal, crc64Ecma } = options;
  const { status, headers, text } = await client.read({
    operation: "complete",
    method: "POST",
    key: storedKey(context, key),
    query: uploadQuery(token),
    headers: { "content-type": "application/xml", ...createOnlyHeaders(context, createOnly) },
    body: Buffer.from(completeXml(parts)),
    signal,
    createOnly,
  });
  const result = parseWriteResult(text);
  if ("error" in result) {
    const failure = { operation: "complete", document: result.error, dialect, createOnly } as const;
    throw classifyAnswer({ ...failure, status: failureStatus(status) });
  }
  checkCrc(context, headers, { crc64Ecma });
  return result.etag;
}

/** The storage may have completed all the same, or be about to. */
function isUncertain(error: unknown): boolean {
  if (!(error instanceof OperationalError)) return false;
  return error.code === "upload_not_found" || (error.code === "unavailable" && error.retryable);
}

async function lookForCompleted(
  context: S3Context,
  upload: UploadAddress,
  expected: Expected,
  { signal }: Call,
): Promise<BlobHead | undefined> {
  for (let look = 0; look < looksMax; look += 1) {
    await delay(lookMsMin * 2 ** look, undefined, { signal });
    try {
      const head = await findObject(context, upload.key, { signal });
      if (head !== undefined && isExpected(context, head, expected)) return head;
    } catch (error) {
      // Not even that is answered: the next look may be.
      if (signal.aborted || !isUncertain(error)) throw error;
    }
  }
  return undefined;
}

function lost(): OperationalError {
  return new OperationalError("unavailable", "the blob was completed and is not there");
}

/** Idempotent. */
export async function cancelUpload(
  context: S3Context,
  { key, token }: UploadAddress,
  { signal }: Call,
): Promise<void> {
  const request = { operation: "cancel", method: "DELETE", query: uploadQuery(token) } as const;
  try {
    await context.client.read({ ...request, key: storedKey(context, key), signal });
  } catch (error) {
    const gone = ["upload_not_found", "object_not_found"];
    if (!(error instanceof OperationalError) || !gone.includes(error.code)) throw error;
  }
}

export async function* listPendingUploads(
  context: S3Context,
  prefix: string,
  { signal }: Call,
): AsyncGenerator<UploadAddress & { readonly createdAt: Date }> {
  const { client, dialect, keyPrefix } = context;
  let keyMarker: string | undefined;
  let uploadIdMarker: string | undefined;
  for (;;) {
    const { text } = await client.read({
      operation: "listPending",
      method: "GET",
      query: [
        ["uploads", undefined],
        ...prefixQuery(dialect.pendingByPrefix ? keyPrefix + prefix : ""),
        ...(dialect.listUrlEncode ? [["encoding-type", "url"] as const] : []),
        ...(keyMarker === undefined ? [] : [["key-marker", keyMarker] as const]),
        ...(uploadIdMarker === undefined ? [] : [["upload-id-marker", uploadIdMarker] as const]),
      ],
      signal,
    });
    const page = parseUploadPage(text);
    for (const { key, uploadId, createdAt } of page.uploads) {
      if (!key.startsWith(keyPrefix + prefix)) continue;
      yield { key: key.slice(keyPrefix.length), token: uploadId, createdAt };
    }
    const same = page.keyMarker === keyMarker && page.uploadIdMarker === uploadIdMarker;
    if (!page.truncated) return;
    if (same || page.keyMarker === undefined) throw new SyntaxError("a list that repeats itself");
    ({ keyMarker, uploadIdMarker } = page);
  }
}

function uploadQuery(
  token: string,
  ...others: readonly (readonly [string, string | undefined])[]
): readonly (readonly [string, string | undefined])[] {
  if (token === "") throw new OperationalError("upload_not_found", "no such upload");
  return [["uploadId", token], ...others.filter(([, value]) => value !== undefined)];
}
