/**
 * Reading an object. The bytes are counted and digested as they pass; a broken connection is resumed
 * at the next byte of the same version, and the end is only reported when size and CRC agree.
 */
import type { Caller } from "./caller.ts";
import { Crc64Nvme } from "./crc64-nvme.ts";
import { isRomaError, RomaError } from "./errors.ts";
import { type ObjectHead, parseObjectHead } from "./object-head.ts";
import { pause, retryDelayMs } from "./retry.ts";
import type { TransportResponse } from "./transport.ts";

// An attempt that moved this much counts as a success: the next failure starts counting anew.
const progressBytesMin = 1024 * 1024;

export interface GetOptions {
  /** Bytes `first` to `last`, both included; without `last`, to the end. */
  readonly range?: { readonly first: number; readonly last?: number };
  readonly ifMatch?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: {
    readonly bytes: number;
    readonly totalBytes: number | undefined;
  }) => void;
}

export interface Download {
  readonly head: ObjectHead;
  /** Bytes that `body` will have, when the answer says so. */
  readonly length: number | null;
  /** True when the CRC of the whole object is checked at the end; ranges cannot be. */
  readonly verified: boolean;
  /** Read it to its end, or leave its loop early, or call `cancel`. Readable once. */
  readonly body: AsyncIterable<Uint8Array>;
  cancel(): void;
}

/** Sends the GET and resolves at the answer's header. */
export async function openDownload(
  caller: Caller,
  path: string,
  options: GetOptions,
): Promise<Download> {
  const { range, signal } = options;
  const first = range?.first ?? 0;
  const headers: Record<string, string> = {
    "accept-encoding": "identity",
    "want-repr-digest": "crc64nvme=10",
    ...(options.ifMatch === undefined ? {} : { "if-match": options.ifMatch }),
    ...(range === undefined ? {} : { range: `bytes=${first}-${range.last ?? ""}` }),
  };
  const response = await caller.call({ method: "GET", path, headers, signal });
  if (response.status !== (range === undefined ? 200 : 206)) {
    response.discard();
    throw new RomaError("bad_answer", `GET was answered ${response.status}`);
  }
  const head = parseObjectHead(response.headers);
  const lengthField = response.headers["content-length"];
  const length = lengthField === undefined ? null : Number(lengthField);
  const expectedCrc = range === undefined ? head.crc64nvme : null;
  const flow: Flow = { caller, path, options, head, length, expectedCrc, first };
  return {
    head,
    length,
    verified: expectedCrc !== null,
    body: readVerified(flow, response),
    cancel: () => response.discard(),
  };
}

interface Flow {
  readonly caller: Caller;
  readonly path: string;
  readonly options: GetOptions;
  readonly head: ObjectHead;
  readonly length: number | null;
  readonly expectedCrc: string | null;
  readonly first: number;
}

async function* readVerified(flow: Flow, opened: TransportResponse): AsyncGenerator<Uint8Array> {
  const { onProgress } = flow.options;
  const crc = new Crc64Nvme();
  let response = opened;
  let bytes = 0;
  let failures = 0;
  let bytesAtFailure = 0;
  for (;;) {
    try {
      for await (const chunk of response.body) {
        if (flow.expectedCrc !== null) crc.update(chunk);
        bytes += chunk.length;
        if (flow.length !== null && bytes > flow.length) throw longer(flow.length);
        yield chunk;
        onProgress?.({ bytes, totalBytes: flow.length ?? undefined });
      }
      break;
    } catch (error) {
      if (bytes - bytesAtFailure >= progressBytesMin) failures = 0;
      failures += 1;
      bytesAtFailure = bytes;
      if (!mayResume(flow, error, bytes, failures)) throw error;
      await pause(retryDelayMs(flow.caller.retry, failures, error), flow.options.signal);
      response = await resume(flow, bytes);
    }
  }
  verify(flow, bytes, crc.hex);
}

function mayResume(
  flow: Flow,
  error: unknown,
  bytes: number,
  failures: number,
): error is RomaError {
  return (
    isRomaError(error) &&
    error.retryable &&
    failures < flow.caller.retry.attemptsMax &&
    flow.head.etag !== null &&
    flow.length !== null &&
    bytes < flow.length
  );
}

async function resume(flow: Flow, bytes: number): Promise<TransportResponse> {
  const from = flow.first + bytes;
  const response = await flow.caller.call({
    method: "GET",
    path: flow.path,
    headers: {
      "accept-encoding": "identity",
      "if-match": flow.head.etag ?? "*",
      range: `bytes=${from}-${flow.options.range?.last ?? ""}`,
    },
    signal: flow.options.signal,
  });
  const starts = response.headers["content-range"]?.startsWith(`bytes ${from}-`) === true;
  if (response.status === 206 && starts) return response;
  response.discard();
  throw new RomaError("bad_answer", `a range from byte ${from} was answered ${response.status}`);
}

function verify(flow: Flow, bytes: number, crc64nvme: string): void {
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

function longer(length: number): RomaError {
  return new RomaError("bad_answer", `more than the announced ${length} bytes came`);
}
