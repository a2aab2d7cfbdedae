// A copy within the storage: one request up to the vendor's limit for that, and past it an upload whose
// parts are ranges of the source. The source may be put again meanwhile: each request is bound to its
// ETag, so a copy is never made of two blobs.

import { OperationalError } from "../../core/errors.ts";
import type { BlobHead, PutOptions, UploadAddress } from "../../core/ports/storage-driver.ts";
import {
  contentTypeHeader,
  createOnlyHeaders,
  once,
  type S3Context,
  storedKey,
} from "./context.ts";
import { classifyAnswer, type Operation } from "./errors.ts";
import { cancelUpload, completeUpload, createUpload } from "./multipart.ts";
import { failureStatus, headObject } from "./objects.ts";
import { encode, encodeKey } from "./signatures/encode.ts";
import { mismatch } from "./sums.ts";
import { type ListedPart, parseWriteResult } from "./wire.ts";

const inFlightMax = 4;
const md5Pattern = /^[0-9a-f]{32}$/i;

/** `unsupported` where it is over the vendor's limit and the vendor copies no ranges. */
export async function copyObject(
  context: S3Context,
  [from, to]: readonly [string, string],
  options: PutOptions,
): Promise<BlobHead> {
  const { dialect, copyBytesMax } = context;
  const { signal, createOnly = false, length } = options;
  storedKey(context, to);
  const source = await headObject(context, from, { signal });
  if (length !== undefined && length !== source.length) {
    const message = `the blob has ${source.length} bytes, not ${length}`;
    throw new OperationalError("incomplete_body", message);
  }
  const whole = source.length <= copyBytesMax;
  if (createOnly && !(whole ? dialect.conditionalCopy : dialect.conditionalComplete)) {
    throw new OperationalError("unsupported", `createOnly of a copy on ${dialect.title}`);
  }
  if (!whole && !dialect.partCopy) {
    throw new OperationalError("unsupported", `a copy of more than ${copyBytesMax} bytes`);
  }
  if (!whole) return await copyInParts(context, source, { ...options, to });
  await requestCopy(context, source, {
    operation: "copy",
    key: to,
    query: [],
    headers: {
      ...contentTypeHeader(options),
      ...createOnlyHeaders(context, createOnly),
      [`${dialect.headerPrefix}metadata-directive`]: "REPLACE",
    },
    signal,
    createOnly,
  });
  const head = await headObject(context, to, { signal });
  if (head.length !== source.length) throw mismatch("length");
  return head;
}

async function copyInParts(
  context: S3Context,
  source: BlobHead,
  options: PutOptions & { readonly to: string },
): Promise<BlobHead> {
  const pieces = rangesOf(context, source.length).map((range) => ({ source, range }));
  return await copyPieces(context, pieces, options);
}

/** A piece of the blob that is made: some bytes of one that is there. */
export interface Piece {
  readonly source: CopySource;
  readonly range: Range;
  /** The range is all of it: then none is asked for, which vendors refuse of short blobs. */
  readonly isWhole?: boolean;
  /** In hex; what the storage says of the piece is compared with it, where that is an MD5. */
  readonly md5?: string;
}

/** A blob that is read within the storage. */
interface CopySource {
  readonly key: string;
  /** Left out: whatever is under the key. */
  readonly etag?: string;
}

/** An upload whose parts are the pieces; a few at a time. What fails leaves nothing. */
export async function copyPieces(
  context: S3Context,
  pieces: readonly Piece[],
  options: PutOptions & { readonly to: string },
): Promise<BlobHead> {
  const failing = new AbortController();
  const signal = AbortSignal.any([options.signal, failing.signal]);
  const upload = await createUpload(context, options.to, options);
  const parts: ListedPart[] = [];
  const waiting = pieces.values();
  const work = async (): Promise<void> => {
    // One iterator for all: each takes the next piece.
    for (const piece of waiting) {
      parts.push(await copyPiece(context, { piece, upload }, { ...options, signal }));
      options.onProgress?.();
    }
  };
  const running = Array.from({ length: inFlightMax }, work);
  try {
    await Promise.all(running);
    return await completeUpload(context, upload, parts, options);
  } catch (error) {
    failing.abort(error);
    await context.cleanups.run(async (undo) => {
      await Promise.allSettled(running);
      await cancelUpload(context, upload, { signal: undo });
    });
    throw options.signal.aborted ? options.signal.reason : error;
  }
}

export interface Range {
  readonly partNumber: number;
  readonly first: number;
  readonly last: number;
}

/** All of one size but the last, and no more than the vendor counts. */
function rangesOf({ dialect, copyPartBytes }: S3Context, length: number): readonly Range[] {
  const { partsMax, partBytesMax } = dialect;
  const partBytes = Math.max(copyPartBytes, Math.ceil(length / partsMax));
  if (partBytes > partBytesMax) {
    throw new OperationalError("too_large", `more than ${partsMax} parts of ${partBytesMax} bytes`);
  }
  return Array.from({ length: Math.ceil(length / partBytes) }, (_, index) => {
    const first = index * partBytes;
    return { partNumber: index + 1, first, last: Math.min(length, first + partBytes) - 1 };
  });
}

export async function copyPiece(
  context: S3Context,
  { piece, upload }: { readonly piece: Piece; readonly upload: UploadAddress },
  { signal, repeat = once }: PutOptions,
): Promise<ListedPart> {
  const { source, range, isWhole = false, md5 } = piece;
  const { partNumber, first, last } = range;
  const etag = await repeat(signal, () =>
    requestCopy(context, source, {
      // What is missing is the source.
      operation: "copy",
      key: upload.key,
      query: [
        ["partNumber", String(partNumber)],
        ["uploadId", upload.token],
      ],
      headers: isWhole
        ? {}
        : { [`${context.dialect.headerPrefix}copy-source-range`]: `bytes=${first}-${last}` },
      signal,
      createOnly: false,
    }),
  );
  if (etag === undefined) throw new SyntaxError("a copied part without an ETag");
  const isMd5 = context.dialect.partEtagIsMd5 && context.etagIsMd5 && md5Pattern.test(etag);
  if (isMd5 && md5 !== undefined && etag.toLowerCase() !== md5) throw mismatch("etag");
  return { partNumber, length: last - first + 1, etag };
}

interface CopyRequest {
  readonly operation: Operation;
  readonly key: string;
  readonly query: readonly (readonly [string, string])[];
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  readonly createOnly: boolean;
}

/** The ETag that the answer names, if it names one. */
async function requestCopy(
  context: S3Context,
  source: CopySource,
  { key, headers, ...request }: CopyRequest,
): Promise<string | undefined> {
  const { client, dialect } = context;
  const prefix = dialect.headerPrefix;
  const from = `/${encode(client.bucket)}/${encodeKey(storedKey(context, source.key))}`;
  const { status, text } = await client.read({
    ...request,
    method: "PUT",
    key: storedKey(context, key),
    headers: {
      ...headers,
      [`${prefix}copy-source`]: from,
      ...(source.etag !== undefined && {
        [`${prefix}copy-source-if-match`]: `"${source.etag}"`,
      }),
    },
  });
  const result = parseWriteResult(text);
  if (!("error" in result)) return result.etag;
  const { operation, createOnly } = request;
  const failure = { operation, document: result.error, dialect, createOnly } as const;
  throw classifyAnswer({ ...failure, status: failureStatus(status) });
}
