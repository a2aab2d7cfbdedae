/**
 * Reading an object. The bytes are counted and digested as they pass; a broken connection is resumed
 * at the next byte of the same version, and the end is only reported when size and CRC agree. What is
 * large comes in ranges side by side.
 */
import type { Caller } from "./caller.ts";
import { call } from "./calls.ts";
import { startCrc64Nvme } from "./digests/crc64-nvme.ts";
import { isRomaError, RomaError } from "./errors.ts";
import { type ObjectHead, parseObjectHead } from "./object-head.ts";
import { pause, retryDelayMs } from "./retry.ts";
import type { TransportResponse } from "./transport.ts";

/** One range; those that are ahead of the reader are held. */
export const rangeBytes = 8 * 1024 * 1024;
// An attempt that moved this much counts as a success: the next failure starts counting anew.
const progressBytesMin = 1024 * 1024;

export interface DownloadProgress {
  readonly bytes: number;
  readonly totalBytes: number | undefined;
}

export interface DownloadOptions {
  /** Bytes `first` to `last`, both included; without `last`, to the end. */
  readonly range?: { readonly first: number; readonly last?: number };
  readonly ifMatch?: string;
  /** Ranges of 8 MiB that are fetched at once, 1 to 8. Default 4. */
  readonly parallel?: number;
  readonly signal?: AbortSignal;
  /** Bytes that have come, in order or ahead of the reader. */
  readonly onProgress?: (progress: DownloadProgress) => void;
}

export interface Download {
  readonly head: ObjectHead;
  /** Bytes that `body` will have, when the answer says so. */
  readonly length: number | null;
  /** True when the CRC of the whole object is checked at the end; ranges cannot be. */
  readonly verified: boolean;
  /** Read it to its end, or leave its loop early, or call `cancel`. Readable once. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Reads the body into one: instead of `body`, for what fits. */
  blob(): Promise<Blob>;
  /** For whoever does not read. */
  cancel(): void;
}

/** Sends the GET and resolves at the answer's header. */
export async function openDownload(
  caller: Caller,
  path: string,
  options: DownloadOptions,
): Promise<Download> {
  const opened = await openFlow(caller, path, options);
  const { flow, response } = opened;
  const body = readVerified(flow, response);
  return {
    head: flow.head,
    length: flow.length,
    verified: flow.expectedCrc !== null,
    body,
    async blob() {
      const chunks: Uint8Array<ArrayBuffer>[] = [];
      for await (const chunk of body) chunks.push(chunk as Uint8Array<ArrayBuffer>);
      return new Blob(chunks, { type: flow.head.contentType ?? "" });
    },
    cancel: () => response.discard(),
  };
}

/** What is read, and what is known of it. */
export interface Flow {
  readonly caller: Caller;
  readonly path: string;
  readonly options: DownloadOptions;
  readonly head: ObjectHead;
  /** Of all that was asked for. */
  readonly length: number | null;
  readonly expectedCrc: string | null;
  /** Where it begins in the object. */
  readonly first: number;
  readonly progress: { bytes: number };
}

/** The first answer: of the first range, or of all where that is shorter. */
export async function openFlow(
  caller: Caller,
  path: string,
  options: DownloadOptions,
): Promise<{ readonly flow: Flow; readonly response: TransportResponse }> {
  const { range, signal, ifMatch } = options;
  const first = range?.first ?? 0;
  const last = range?.last ?? Number.POSITIVE_INFINITY;
  if (!Number.isSafeInteger(first) || first < 0 || last < first) {
    throw new RomaError("invalid_request", `the range ${first} to ${last} is none`);
  }
  const fields = {
    "accept-encoding": "identity",
    "want-repr-digest": "crc64nvme=10",
    ...(ifMatch === undefined ? {} : { "if-match": ifMatch }),
  };
  const get = (headers: Readonly<Record<string, string>>) =>
    call(caller, { method: "GET", path, headers, signal });
  let response: TransportResponse;
  try {
    const end = Math.min(last, first + rangeBytes - 1);
    response = await get({ ...fields, range: `bytes=${first}-${end}` });
  } catch (error) {
    // There is no range of an empty object.
    const empty = isRomaError(error, "range_unsatisfiable") && range === undefined;
    if (!empty) throw error;
    response = await get(fields);
  }
  const head = parseObjectHead(response.headers);
  if (response.status !== 206 && (response.status !== 200 || range !== undefined)) {
    response.discard();
    throw new RomaError("bad_answer", `GET was answered ${response.status}`);
  }
  const length = head.size === null ? null : Math.max(0, Math.min(head.size - 1, last) - first + 1);
  const expectedCrc = range === undefined ? head.crc64nvme : null;
  const progress = { bytes: 0 };
  return { flow: { caller, path, options, head, length, expectedCrc, first, progress }, response };
}

async function* readVerified(flow: Flow, opened: TransportResponse): AsyncGenerator<Uint8Array> {
  const crc = startCrc64Nvme();
  let bytes = 0;
  for await (const chunk of readOrdered(flow, opened)) {
    if (flow.expectedCrc !== null) crc.update(chunk);
    bytes += chunk.length;
    yield chunk;
  }
  verifyFlow(flow, bytes, crc.hex());
}

/** The first range as it comes, the following ones while it does. */
async function* readOrdered(flow: Flow, opened: TransportResponse): AsyncGenerator<Uint8Array> {
  const { length } = flow;
  const parallel = Math.max(1, Math.min(flow.options.parallel ?? 4, 8));
  // A server that sent all has opened all.
  const inRanges = opened.status === 206 && length !== null && flow.head.etag !== null;
  const firstEnd = inRanges ? Math.min(length, rangeBytes) : length;
  const stop = linkedController(flow.options.signal);
  const ahead: Promise<readonly Uint8Array[]>[] = [];
  let next = firstEnd ?? 0;
  const fill = () => {
    while (length !== null && next < length && ahead.length < parallel - 1) {
      const at = next;
      next = Math.min(length, at + rangeBytes);
      const range = collect(readRange(flow, { first: at, end: next, stop: stop.signal }));
      range.catch(() => {});
      ahead.push(range);
    }
  };
  try {
    fill();
    yield* readRange(flow, { first: 0, end: firstEnd, stop: stop.signal }, opened);
    while (length !== null && (ahead.length > 0 || next < length)) {
      const range = ahead.shift();
      if (range === undefined) {
        const at = next;
        next = Math.min(length, at + rangeBytes);
        yield* readRange(flow, { first: at, end: next, stop: stop.signal });
      } else {
        const chunks = await range;
        fill();
        yield* chunks;
      }
    }
  } finally {
    stop.end();
  }
}

/** A controller that `signal` aborts too, until its end. */
export function linkedController(signal: AbortSignal | undefined): {
  readonly signal: AbortSignal;
  /** Aborts what is still under way. */
  end(): void;
} {
  const controller = new AbortController();
  const onAbort = () => controller.abort(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  if (signal?.aborted === true) onAbort();
  return {
    signal: controller.signal,
    end() {
      signal?.removeEventListener("abort", onAbort);
      controller.abort();
    },
  };
}

async function collect(body: AsyncIterable<Uint8Array>): Promise<readonly Uint8Array[]> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return chunks;
}

/** Offsets within what was asked for. */
export interface Span {
  readonly first: number;
  /** Exclusive; `null` where the length is not known. */
  readonly end: number | null;
  /** Nobody wants it any more. */
  readonly stop: AbortSignal;
}

/** The bytes of one range; a connection that breaks is resumed at the next byte. */
export async function* readRange(
  flow: Flow,
  span: Span,
  opened?: TransportResponse,
): AsyncGenerator<Uint8Array> {
  const { onProgress } = flow.options;
  const wanted = span.end === null ? null : span.end - span.first;
  let response = opened;
  let bytes = 0;
  let failures = 0;
  let bytesAtFailure = 0;
  for (;;) {
    try {
      response ??= await request(flow, span, bytes);
      for await (const chunk of response.body) {
        if (wanted !== null && bytes + chunk.length > wanted) {
          throw new RomaError("bad_answer", `more than the announced ${wanted} bytes came`);
        }
        bytes += chunk.length;
        flow.progress.bytes += chunk.length;
        yield chunk;
        onProgress?.({ bytes: flow.progress.bytes, totalBytes: flow.length ?? undefined });
      }
      if (wanted === null || bytes === wanted) return;
      throw new RomaError("bad_answer", `${bytes} bytes came of ${wanted}`, { retryable: true });
    } catch (error) {
      response = undefined;
      if (bytes - bytesAtFailure >= progressBytesMin) failures = 0;
      failures += 1;
      bytesAtFailure = bytes;
      const again =
        isRomaError(error) &&
        error.retryable &&
        failures < flow.caller.retry.attemptsMax &&
        flow.head.etag !== null &&
        wanted !== null;
      if (!again) throw error;
      await pause(retryDelayMs(flow.caller.retry, failures, error), span.stop);
    }
  }
}

async function request(flow: Flow, span: Span, bytes: number): Promise<TransportResponse> {
  const from = flow.first + span.first + bytes;
  const last = flow.first + (span.end ?? 0) - 1;
  const response = await flow.caller.once({
    method: "GET",
    path: flow.path,
    headers: {
      "accept-encoding": "identity",
      "if-match": flow.head.etag ?? "*",
      range: `bytes=${from}-${last}`,
    },
    signal: span.stop,
  });
  const starts = response.headers["content-range"]?.startsWith(`bytes ${from}-`) === true;
  if (response.status === 206 && starts) return response;
  response.discard();
  throw new RomaError("bad_answer", `a range from byte ${from} was answered ${response.status}`);
}

/** Throws unless all came, and as it was stored. */
export function verifyFlow(flow: Flow, bytes: number, crc64nvme: string): void {
  if (flow.length !== null && bytes !== flow.length) {
    throw new RomaError("bad_answer", `${bytes} bytes came of ${flow.length}`, { retryable: true });
  }
  if (flow.expectedCrc !== null && crc64nvme !== flow.expectedCrc) {
    throw new RomaError(
      "checksum_mismatch",
      `the bytes received have CRC ${crc64nvme}, the object has ${flow.expectedCrc}`,
      { retryable: true },
    );
  }
}
