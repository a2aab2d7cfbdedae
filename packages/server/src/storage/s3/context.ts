// What the parts of the driver share: the client, the limits of the row and the settings, and what runs
// on after a call has ended.

import { setTimeout as delay } from "node:timers/promises";
import { OperationalError } from "../../core/errors.ts";
import type { BlobHead, PutOptions, Repeat } from "../../core/ports/storage-driver.ts";
import type { Calls } from "../calls.ts";
import type { S3Client } from "./client.ts";
import type { PartBuffers } from "./part-buffers.ts";
import type { CreateOnlyHeader, Dialect } from "./providers.ts";
import { bareEtag } from "./wire.ts";

export interface S3Context {
  readonly client: S3Client;
  readonly dialect: Dialect;
  readonly calls: Calls;
  readonly cleanups: Cleanups;
  readonly buffers: PartBuffers;
  readonly keyPrefix: string;
  readonly keyBytesMax: number;
  readonly partBytes: number;
  /** Longer blobs are copied by ranges, each of `copyPartBytes`. */
  readonly copyBytesMax: number;
  readonly copyPartBytes: number;
  /** Longer bodies go in parts, also where their length is known. */
  readonly streamBytesMax: number;
  /** Whether an ETag proves a put's bytes; encryption by the storage can turn it off. */
  etagIsMd5: boolean;
}

/** The key in the storage; `invalid_key` if it cannot be one. */
export function storedKey({ keyPrefix, keyBytesMax, dialect }: S3Context, key: string): string {
  if (key === "") throw new OperationalError("invalid_key", "the key is empty");
  if (!key.isWellFormed() || key.includes("\0")) {
    throw new OperationalError("invalid_key", "the key is not well-formed Unicode");
  }
  const bytes = Buffer.byteLength(key);
  if (bytes > keyBytesMax) {
    const message = `the key has ${bytes} bytes, more than ${keyBytesMax}`;
    throw new OperationalError("invalid_key", message);
  }
  const stored = keyPrefix + key;
  const { segmentBytesMax } = dialect;
  if (segmentBytesMax !== undefined && !isPath(stored, segmentBytesMax)) {
    throw new OperationalError("invalid_key", `the key is no path, as ${dialect.title} wants it`);
  }
  return stored;
}

/** One slash at the end is none too many. */
function isPath(key: string, segmentBytesMax: number): boolean {
  const segments = (key.endsWith("/") ? key.slice(0, -1) : key).split("/");
  return segments.every(
    (segment) =>
      !["", ".", ".."].includes(segment.trim()) && Buffer.byteLength(segment) <= segmentBytesMax,
  );
}

/** The headers that bind a write to a free key; `unsupported` where there are none. */
export function createOnlyHeaders(
  { dialect }: S3Context,
  createOnly: boolean | undefined,
): Readonly<Record<string, string>> {
  if (createOnly !== true) return {};
  const header: CreateOnlyHeader | undefined = dialect.createOnlyHeader;
  if (header === undefined) {
    throw new OperationalError("unsupported", `createOnly on ${dialect.title}`);
  }
  return { [header[0]]: header[1] };
}

/** Where nobody gives a way to repeat. */
export const once: Repeat = (_, send) => send();

const plainText = /^[\x20-\x7e]+$/;

/** Only the type is handed on; a value that no header can hold is left out. */
export function contentTypeHeader({ metadata }: Pick<PutOptions, "metadata">): {
  readonly "content-type": string;
} {
  const { contentType = "" } = metadata ?? {};
  return {
    "content-type": plainText.test(contentType) ? contentType : "application/octet-stream",
  };
}

/** Of the answer to a HEAD or GET; `length` is that of the whole object. */
export function headOf(
  key: string,
  headers: Readonly<Record<string, string>>,
  length: number,
): BlobHead {
  const modifiedAt = new Date(headers["last-modified"] ?? "");
  if (Number.isNaN(modifiedAt.getTime())) throw new SyntaxError("an answer without Last-Modified");
  return {
    key,
    length,
    etag: bareEtag(headers.etag ?? ""),
    modifiedAt,
    digests: {},
    metadata: {},
  };
}

/** The storage encrypts with a key of its own: then no ETag is the MD5 of what was sent. */
export function isEncrypted(headers: Readonly<Record<string, string>>): boolean {
  return (
    (headers["x-amz-server-side-encryption"] ?? "").startsWith("aws:kms") ||
    headers["x-amz-server-side-encryption-customer-algorithm"] !== undefined
  );
}

const cleanupsMax = 1000;
const undoMsMax = 30_000;
/** Before each try: a storage that was the reason to undo may be back soon. */
const undoAfterMs = [0, 1_000, 3_000, 9_000];

/** What is undone after a failure, in its own time: its end belongs to the driver, not to a call. */
export class Cleanups {
  readonly #running = new Set<Promise<void>>();

  /**
   * Runs, repeatedly if it has to, with a deadline of its own and never rejects: what it cannot undo stays among the pending
   * uploads, where a sweep finds it. Resolves when it has ended, or after `waitMs`.
   */
  async run(undo: (signal: AbortSignal) => Promise<void>, waitMs = 1_000): Promise<void> {
    if (this.#running.size >= cleanupsMax) return;
    const running = persist(undo, AbortSignal.timeout(undoMsMax)).catch(() => undefined);
    this.#running.add(running);
    const ended = running.finally(() => this.#running.delete(running));
    let timer: NodeJS.Timeout | undefined;
    const waited = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, waitMs);
    });
    await Promise.race([ended, waited]);
    clearTimeout(timer);
  }

  async end(): Promise<void> {
    await Promise.all(this.#running);
  }
}

async function persist(
  undo: (signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  for (const [index, ms] of undoAfterMs.entries()) {
    await delay(ms, undefined, { signal });
    try {
      return await undo(signal);
    } catch (error) {
      const passing = error instanceof OperationalError && error.retryable;
      if (!passing || index + 1 === undoAfterMs.length) throw error;
    }
  }
}
