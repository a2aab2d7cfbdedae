/**
 * How much memory the bytes on their way may take, in one number: derived from the memory group's quota, and divided
 * between requests, parts that are gathered before they are sent, and large reads. What one of them may hold is bounded,
 * so the sum is.
 */
import { totalmem } from "node:os";
import { KiB, MiB } from "@roma/contract";
import type { MemoryConfig } from "./config.ts";

export interface MemoryShares {
  /** All together. */
  readonly bytesMax: number;
  /** Bodies that come in and go out: a fixed reservation for each request. */
  readonly requestBytesMax: number;
  /** Parts that are gathered: `storage`'s part buffers. */
  readonly partBytesMax: number;
  /** Reads ahead in large buffers. */
  readonly readBytesMax: number;
}

/** Enough for one part of 8 MiB beside the small buffers. */
const partBytesMin = 12 * MiB;
const partBytesMax = 64 * MiB;
const readBytesMin = 2 * MiB;
const readBytesMax = 16 * MiB;
const bytesMin = 24 * MiB;
const bytesMaxWithoutQuota = 1024 * MiB;

/** `quotaBytes` is the memory group's, `undefined` where there is none. */
export function memoryShares(
  config: MemoryConfig,
  machine: { readonly quotaBytes: number | undefined; readonly workers: number },
): MemoryShares {
  const { quotaBytes, workers } = machine;
  const derived =
    quotaBytes === undefined
      ? Math.min(bytesMaxWithoutQuota, totalmem() / 8 / workers)
      : (quotaBytes / workers) * config.buffersShare;
  const bytesMax = Math.max(bytesMin, Math.floor(config.buffersBytes ?? derived));
  const parts = within(bytesMax / 2, partBytesMin, partBytesMax);
  const reads = within(bytesMax / 8, readBytesMin, readBytesMax);
  return {
    bytesMax,
    requestBytesMax: bytesMax - parts - reads,
    partBytesMax: parts,
    readBytesMax: reads,
  };
}

/** Of this process's memory group, of either version; `undefined` where the machine is the limit. */
export function quotaBytesOfGroup(): number | undefined {
  const bytes = process.constrainedMemory();
  return bytes > 0 && bytes < totalmem() ? bytes : undefined;
}

function within(bytes: number, min: number, max: number): number {
  return Math.floor(Math.min(max, Math.max(min, bytes)));
}

/**
 * What a request with a body holds at most where many are received: 192 KiB that were read ahead of whoever pulls, the
 * last chunk of the socket included, and 144 that are gathered and wait to be written. 0.3 MiB of each of 200 were seen
 * while the disk stood still.
 */
const receiveBytesMax = 336 * KiB;
/** What an answer holds at most: two chunks on their way, and what the kernel has not taken. */
const sendBytes = 64 * KiB;

export function requestBytes(request: {
  readonly method: string;
  /** Declared; `undefined` for a body of unknown length. */
  readonly bodyLength: number | undefined;
}): number {
  const { method, bodyLength } = request;
  if (bodyLength === 0) return method === "GET" ? sendBytes : 0;
  return Math.min(bodyLength ?? receiveBytesMax, receiveBytesMax);
}
