/**
 * A download into a file: ranges side by side, written beside it under a temporary name, verified,
 * synced, renamed. The final name never shows a part.
 */
import { createHash, randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import {
  type FileHandle,
  mkdir,
  open,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { objectPath } from "../address.ts";
import { chainCrc64Nvme, startCrc64Nvme } from "../digests/crc64-nvme.ts";
import {
  type DownloadOptions,
  type Flow,
  linkedController,
  openFlow,
  rangeBytes,
  readRange,
  verifyFlow,
} from "../download.ts";
import { RomaError } from "../errors.ts";
import type { ObjectHead } from "../object-head.ts";
import type { Address } from "../objects.ts";
import type { TransportResponse } from "../transport.ts";
import { callerOf } from "../upload-client.ts";

export interface DownloadFileOptions extends Omit<DownloadOptions, "range"> {
  /**
   * Keeps what has come when it fails or is killed, beside the file, and goes on with it the next
   * time, as long as the object is the same. Default false: what is interrupted leaves nothing.
   */
  readonly resume?: boolean;
}

export interface DownloadedFile {
  readonly path: string;
  readonly head: ObjectHead;
  /** True when the CRC of the whole was checked. */
  readonly verified: boolean;
}

// For an end that leaves no time to unwind: see `removeTemporaries`.
const temporaries = new Set<string>();

/** Removes at once what downloads under way have written, resumable ones apart. */
export function removeTemporaries(): void {
  for (const path of temporaries) rmSync(path, { force: true });
}

export async function downloadFile(
  client: object,
  { bucket, key }: Address,
  { path, options }: { readonly path: string; readonly options: DownloadFileOptions },
): Promise<DownloadedFile> {
  const caller = callerOf(client);
  const { flow, response } = await openFlow(caller, objectPath(bucket, key), options);
  const result = { path, head: flow.head, verified: flow.expectedCrc !== null };
  try {
    const target = await stat(path).catch(() => undefined);
    if (target?.isDirectory() === true) {
      throw new RomaError("invalid_request", `${path} is a folder`);
    }
    if (target !== undefined && !target.isFile()) {
      await writeThrough(flow, response, path);
      return result;
    }
    await mkdir(dirname(path), { recursive: true });
    if (options.resume === true)
      await writeResumable(flow, response, { path, caller, bucket, key });
    else await writeOnce(flow, response, path);
    return result;
  } catch (error) {
    response.discard();
    throw error;
  }
}

/** A pipe or a device: there is nothing to rename over. */
async function writeThrough(flow: Flow, response: TransportResponse, path: string): Promise<void> {
  await using file = await open(path, "w");
  await fetchRanges(flow, response, { ranges: rangesOf(flow), parallel: 1, file, piped: true });
}

async function writeOnce(flow: Flow, response: TransportResponse, path: string): Promise<void> {
  const temporary = join(dirname(path), `.roma-${randomBytes(8).toString("hex")}.part`);
  temporaries.add(temporary);
  try {
    await using file = await open(temporary, "wx");
    await fetchRanges(flow, response, { ranges: rangesOf(flow), file });
    // The name must not outlive the bytes in a crash.
    await file.datasync();
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  } finally {
    temporaries.delete(temporary);
  }
}

async function writeResumable(
  flow: Flow,
  response: TransportResponse,
  target: {
    readonly path: string;
    readonly caller: { readonly endpoint: string };
    readonly bucket: string;
    readonly key: string;
  },
): Promise<void> {
  const where = JSON.stringify([target.caller.endpoint, target.bucket, target.key, target.path]);
  const name = createHash("sha256").update(where).digest("hex").slice(0, 32);
  const temporary = join(dirname(target.path), `.roma-${name}.part`);
  const state = `${temporary}.json`;
  const ranges = rangesOf(flow);
  await readState(state, flow, ranges);
  let writing: Promise<void> = Promise.resolve();
  try {
    await using file = await open(temporary, ranges.some(({ crc }) => crc) ? "r+" : "w");
    await checkRanges(file, ranges);
    await fetchRanges(flow, response, {
      ranges,
      file,
      onRange: (done) => {
        writing = writing.then(() => writeState(state, flow, done));
        return writing;
      },
    });
    await file.datasync();
    await rename(temporary, target.path);
    for (const path of [state, stateTemporary(state)]) await rm(path, { force: true });
  } catch (error) {
    const wrong = error instanceof RomaError && error.code === "checksum_mismatch";
    const paths = wrong ? [temporary, state, stateTemporary(state)] : [];
    for (const path of paths) await rm(path, { force: true });
    throw error;
  }
}

interface Range {
  readonly first: number;
  readonly end: number | null;
  crc?: string;
  bytes?: number;
}

function rangesOf({ length, head }: Flow): Range[] {
  if (length === null || head.etag === null) return [{ first: 0, end: length }];
  const count = Math.max(1, Math.ceil(length / rangeBytes));
  return Array.from({ length: count }, (_, index) => {
    const first = index * rangeBytes;
    return { first, end: Math.min(length, first + rangeBytes) };
  });
}

interface Fetch {
  readonly ranges: readonly Range[];
  readonly file: FileHandle;
  readonly parallel?: number;
  /** The target takes bytes one after the other. */
  readonly piped?: boolean;
  readonly onRange?: (ranges: readonly Range[]) => Promise<void>;
}

/** Fetches what is missing, the first range from the answer that is open, and verifies the whole. */
async function fetchRanges(flow: Flow, opened: TransportResponse, fetch: Fetch): Promise<void> {
  const { ranges, file, piped = false } = fetch;
  const stop = linkedController(flow.options.signal);
  const missing = ranges.filter(({ crc }) => crc === undefined);
  const whole = opened.status !== 206;
  if (ranges[0]?.crc !== undefined) opened.discard();
  const fetchOne = async (range: Range): Promise<void> => {
    const span = { first: range.first, end: range.end, stop: stop.signal };
    const crc = startCrc64Nvme();
    let at = range.first;
    for await (const chunk of readRange(flow, span, range.first === 0 ? opened : undefined)) {
      crc.update(chunk);
      await writeAll(file, chunk, piped ? null : at);
      at += chunk.length;
    }
    range.bytes = at - range.first;
    range.crc = crc.hex();
    await fetch.onRange?.(ranges);
  };
  // A server that sent all at once has one range for all of them.
  if (whole && missing.length > 1) {
    throw new RomaError("bad_answer", "the server ignored the range it was asked for");
  }
  const worker = async (): Promise<void> => {
    for (let range = missing.shift(); range !== undefined; range = missing.shift()) {
      await fetchOne(range);
    }
  };
  const parallel = Math.max(1, Math.min(fetch.parallel ?? flow.options.parallel ?? 4, 8));
  const workers = Array.from({ length: parallel }, () =>
    worker().catch((error: unknown) => {
      missing.length = 0;
      stop.end();
      throw error;
    }),
  );
  const outcomes = await Promise.allSettled(workers);
  stop.end();
  // The others were ended by the first.
  const failures = outcomes.flatMap((one) => (one.status === "rejected" ? [one.reason] : []));
  if (failures.length > 0) throw failures.find((one) => !isAborted(one)) ?? failures[0];
  const done = ranges.map(({ crc, bytes }) => ({ crc64nvme: crc ?? "", length: bytes ?? 0 }));
  const bytes = done.reduce((sum, { length }) => sum + length, 0);
  verifyFlow(flow, bytes, chainCrc64Nvme(done));
}

function isAborted(error: unknown): boolean {
  return error instanceof RomaError && error.code === "aborted";
}

async function writeAll(
  file: FileHandle,
  chunk: Uint8Array,
  position: number | null,
): Promise<void> {
  for (let at = 0; at < chunk.length; ) {
    const where = position === null ? null : position + at;
    at += (await file.write(chunk, at, chunk.length - at, where)).bytesWritten;
  }
}

/** Takes over what an earlier download of the same object has written. */
async function readState(path: string, flow: Flow, ranges: readonly Range[]): Promise<void> {
  try {
    const state: unknown = JSON.parse(await readFile(path, "utf8"));
    if (typeof state !== "object" || state === null) return;
    const { etag, length, crcs }: { [name: string]: unknown } = { ...state };
    if (etag !== flow.head.etag || length !== flow.length || !Array.isArray(crcs)) return;
    for (const [index, range] of ranges.entries()) {
      const crc: unknown = crcs[index];
      if (typeof crc !== "string" || range.end === null) continue;
      range.crc = crc;
      range.bytes = range.end - range.first;
    }
  } catch {
    // There is none, or it is torn: everything is fetched.
  }
}

async function writeState(path: string, flow: Flow, ranges: readonly Range[]): Promise<void> {
  const { length, head } = flow;
  const crcs = ranges.map(({ crc }) => crc ?? null);
  await writeFile(stateTemporary(path), JSON.stringify({ etag: head.etag, length, crcs }));
  await rename(stateTemporary(path), path);
}

/** Always the same: one that a kill leaves is written over, or removed at the end. */
function stateTemporary(path: string): string {
  return `${path}.new`;
}

/** What was written may have been lost in a crash: it is read again, and not believed. */
async function checkRanges(file: FileHandle, ranges: readonly Range[]): Promise<void> {
  const chunk = Buffer.allocUnsafeSlow(256 * 1024);
  for (const range of ranges) {
    if (range.crc === undefined || range.end === null) continue;
    const crc = startCrc64Nvme();
    for (let at = range.first; at < range.end; ) {
      const { bytesRead } = await file.read(chunk, 0, Math.min(chunk.length, range.end - at), at);
      if (bytesRead === 0) break;
      crc.update(chunk.subarray(0, bytesRead));
      at += bytesRead;
    }
    if (crc.hex() !== range.crc) {
      delete range.crc;
      delete range.bytes;
    }
  }
}
