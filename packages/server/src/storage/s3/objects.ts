// Requests on whole objects: put, head, get, delete. Each write is compared with what the storage
// says it wrote; bytes that are not the ones sent do not stay.

import { OperationalError } from "../../core/errors.ts";
import type { BlobHead, Call, GetOptions, PutOptions } from "../../core/ports/storage-driver.ts";
import { AnswerBody } from "./answer-body.ts";
import {
  contentTypeHeader,
  createOnlyHeaders,
  headOf,
  isEncrypted,
  type S3Context,
  storedKey,
} from "./context.ts";
import { prefixQuery } from "./signatures/encode.ts";
import type { StreamedBody } from "./streamed-body.ts";
import { checkCrc, mismatch, type Sums, sumsOf } from "./sums.ts";
import { bareEtag } from "./wire.ts";

type Headers = Readonly<Record<string, string>>;

/** Bytes that are all there: the storage itself refuses others. */
export async function putBytes(
  context: S3Context,
  key: string,
  bytes: Uint8Array,
  options: PutOptions,
): Promise<BlobHead> {
  const sums = sumsOf(context, bytes);
  const { headers } = await context.client.read({
    operation: "put",
    method: "PUT",
    key: storedKey(context, key),
    headers: {
      ...contentTypeHeader(options),
      ...createOnlyHeaders(context, options.createOnly),
      "content-md5": sums.md5.toString("base64"),
    },
    body: bytes,
    signal: options.signal,
    createOnly: options.createOnly ?? false,
  });
  await checkPut(context, key, { headers, sums, proven: true });
  return await headAfter(context, key, { headers, length: bytes.length, signal: options.signal });
}

/** Bytes as they come, with their length: the ETag proves them afterwards. */
export async function putStream(
  context: S3Context,
  key: string,
  body: StreamedBody,
  options: PutOptions,
): Promise<BlobHead> {
  const { headers } = await context.client.read({
    operation: "put",
    method: "PUT",
    key: storedKey(context, key),
    headers: { ...contentTypeHeader(options), ...createOnlyHeaders(context, options.createOnly) },
    body: { length: body.length, chunks: body },
    signal: options.signal,
    createOnly: options.createOnly ?? false,
  });
  await checkPut(context, key, { headers, sums: body.sums(), proven: false });
  return await headAfter(context, key, { headers, length: body.length, signal: options.signal });
}

interface Written {
  readonly headers: Headers;
  readonly sums: Sums;
  /** The storage has compared the bytes with a digest that was sent along. */
  readonly proven: boolean;
}

async function checkPut(context: S3Context, key: string, written: Written): Promise<void> {
  const { headers, sums, proven } = written;
  try {
    checkCrc(context, headers, sums);
    if (isEncrypted(headers)) {
      context.etagIsMd5 = false;
      if (proven) return;
      const message =
        "the storage encrypts, so its ETag proves nothing; the next try goes in parts";
      throw new OperationalError("unavailable", message);
    }
    if (!context.etagIsMd5) return;
    if (etagOf(headers).toLowerCase() !== sums.md5.toString("hex")) throw mismatch("etag");
  } catch (error) {
    await context.cleanups.run((signal) => deleteObject(context, key, { signal }));
    throw error;
  }
}

export function etagOf(headers: Headers): string {
  return bareEtag(headers.etag ?? "");
}

interface Put {
  readonly headers: Headers;
  readonly length: number;
  readonly signal: AbortSignal;
}

/** What is there now, if it is still what was put; else what is known of what was put. */
async function headAfter(context: S3Context, key: string, put: Put): Promise<BlobHead> {
  const etag = etagOf(put.headers);
  const head = await findObject(context, key, put);
  if (head?.etag === etag) {
    if (head.length !== put.length) throw mismatch("length");
    return head;
  }
  // Another put or a delete came after ours.
  const modifiedAt = new Date(put.headers.date ?? context.client.now());
  return { key, length: put.length, etag, modifiedAt, digests: {}, metadata: {} };
}

/** `object_not_found`, or `unavailable` where it is the bucket that is missing. */
export async function headObject(
  context: S3Context,
  key: string,
  { signal }: Call,
): Promise<BlobHead> {
  const head = await findObject(context, key, { signal });
  if (head !== undefined) return head;
  // A HEAD's answer does not tell what is missing.
  await probeBucket(context, { signal });
  throw new OperationalError("object_not_found", "no such blob");
}

/** Undefined where a HEAD answers 404. */
export async function findObject(
  context: S3Context,
  key: string,
  { signal }: Call,
): Promise<BlobHead | undefined> {
  const request = {
    operation: "head",
    method: "HEAD",
    key: storedKey(context, key),
    signal,
  } as const;
  try {
    const { headers } = await context.client.read(request);
    const length = Number(headers["content-length"] ?? Number.NaN);
    if (!Number.isSafeInteger(length)) throw new SyntaxError("a head without a length");
    return headOf(key, headers, length);
  } catch (error) {
    if (error instanceof OperationalError && error.code === "object_not_found") return undefined;
    throw error;
  }
}

/** A signed request whose failure says what is wrong. */
export async function probeBucket(context: S3Context, { signal }: Call): Promise<void> {
  await context.client.read({
    operation: "probe",
    method: "GET",
    query: [
      ...(context.dialect.listVersion === 2 ? [["list-type", "2"] as const] : []),
      ["max-keys", "1"],
      ...prefixQuery(context.keyPrefix),
    ],
    signal,
  });
}

export async function getObject(
  context: S3Context,
  key: string,
  options: GetOptions,
): Promise<{ head: BlobHead; body: AnswerBody }> {
  const { signal, firstByte, lastByte, ifMatch } = options;
  const ranged = firstByte !== undefined || lastByte !== undefined;
  const first = firstByte ?? 0;
  if (ranged && (first < 0 || (lastByte ?? first) < first)) throw unsatisfiable(options);
  const answer = await context.client.open({
    operation: "get",
    method: "GET",
    key: storedKey(context, key),
    headers: {
      ...(ranged && { range: `bytes=${first}-${lastByte ?? ""}` }),
      ...(ifMatch !== undefined && { "if-match": `"${ifMatch}"` }),
    },
    signal,
  });
  try {
    const bodyLength = Number(answer.headers["content-length"] ?? Number.NaN);
    if (!Number.isSafeInteger(bodyLength)) throw new SyntaxError("a get without a length");
    const length = ranged ? wholeLength(answer, { first, options, bodyLength }) : bodyLength;
    const body = new AnswerBody(answer.body, { length: bodyLength, signal });
    return { head: headOf(key, answer.headers, length), body };
  } catch (error) {
    answer.body.destroy();
    throw error;
  }
}

interface RangeAsked {
  readonly first: number;
  readonly options: GetOptions;
  readonly bodyLength: number;
}

/** The length of the object, by the answer to a range; storages cut a range that ends past the end. */
function wholeLength(
  { status, headers }: { readonly status: number; readonly headers: Headers },
  { first, options, bodyLength }: RangeAsked,
): number {
  const told = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(headers["content-range"] ?? "");
  const [from, to, length] = told?.slice(1).map(Number) ?? [];
  if (status !== 206 || from !== first || to === undefined || length === undefined) {
    throw new SyntaxError("the answer to a range is not that range");
  }
  const { lastByte = length - 1 } = options;
  if (lastByte >= length) throw unsatisfiable(options, length);
  if (to !== lastByte || bodyLength !== to - from + 1) {
    throw new SyntaxError("the answer to a range is not that range");
  }
  return length;
}

function unsatisfiable({ firstByte, lastByte }: GetOptions, length?: number): OperationalError {
  const message = `bytes ${firstByte ?? 0} to ${lastByte ?? "the end"} are not within the blob`;
  const context = length === undefined ? {} : { length };
  return new OperationalError("range_unsatisfiable", message, { context });
}

/** A missing key is success. */
export async function deleteObject(
  context: S3Context,
  key: string,
  { signal }: Call,
): Promise<void> {
  const request = {
    operation: "delete",
    method: "DELETE",
    key: storedKey(context, key),
    signal,
  } as const;
  await context.client.read(request).catch((error: unknown) => {
    const missing = error instanceof OperationalError && error.code === "object_not_found";
    if (!missing) throw error;
  });
}

/** Of an error that came in a success. */
export function failureStatus(status: number): number {
  return status < 400 ? 500 : status;
}
