// What the conformance suite works on, and the bodies it sends: bytes that a seed decides, so that a
// test can tell every byte without keeping it.

import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import { readdirSync } from "node:fs";
import type { TestContext } from "node:test";
import type { ErrorCode } from "../../core/errors.ts";
import { isOperationalError } from "../../core/errors.ts";
import type {
  BlobHead,
  Body,
  GetOptions,
  PutOptions,
  StorageDriver,
} from "../../core/ports/storage-driver.ts";

export interface OpenedStorage {
  readonly driver: StorageDriver;
  /** Another instance over the same storage, as after a restart. */
  readonly reopen?: () => Promise<StorageDriver>;
}

export type OpenStorage = (t: TestContext) => Promise<OpenedStorage>;

export interface StorageUnderTest {
  readonly open: OpenStorage;
  /** With the checksum layer: digests are computed and verified. Without, they are `unsupported`. */
  readonly digests?: boolean;
  /** A body of any length passes in the same memory. */
  readonly constantMemory?: boolean;
  /** A storage that takes no more bytes than these: the answer is `storage_full`. */
  readonly openFull?: OpenStorage;
  /** Connections that the driver may keep for its next calls; they may take a moment to close. */
  readonly idleConnectionsMax?: number;
}

/** A signal that nobody aborts. */
export const calm: AbortSignal = new AbortController().signal;

export function bytesOf(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = (seed * 2_654_435_761) >>> 0 || 1;
  for (let index = 0; index < length; index += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[index] = state;
  }
  return bytes;
}

/** The bytes in chunks of their own memory, as a socket gives them. */
export async function* chunked(bytes: Uint8Array, chunkBytes = 65_536): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += chunkBytes) {
    yield Uint8Array.from(bytes.subarray(start, start + chunkBytes));
  }
}

/** Gives some chunks and then waits for ever. */
export async function* hanging(chunk: Uint8Array, count = 1): AsyncGenerator<Uint8Array> {
  for (let index = 0; index < count; index += 1) yield chunk;
  await new Promise(() => undefined);
}

export async function put(
  driver: StorageDriver,
  key: string,
  bytes: Uint8Array | string,
  options: Partial<PutOptions> = {},
): Promise<BlobHead> {
  const body = typeof bytes === "string" ? Buffer.from(bytes) : bytes;
  return await driver.put(key, chunked(body), { signal: calm, ...options });
}

/** Copies each chunk as it comes: its memory is used again. */
export async function collect(body: Body): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(Uint8Array.from(chunk));
  return Buffer.concat(chunks);
}

export async function read(
  driver: StorageDriver,
  key: string,
  options: Partial<GetOptions> = {},
): Promise<Buffer> {
  const { body } = await driver.get(key, { signal: calm, ...options });
  return await collect(body);
}

export async function keysOf(
  driver: StorageDriver,
  prefix = "",
  after?: string,
): Promise<readonly string[]> {
  const keys: string[] = [];
  const options = after === undefined ? { signal: calm } : { signal: calm, after };
  for await (const { key } of driver.list(prefix, options)) keys.push(key);
  return keys;
}

/** The keys that a storage can hold together: without those below another one, where it hides them. */
export function together(
  { capabilities }: StorageDriver,
  keys: readonly string[],
): readonly string[] {
  if (capabilities.nestedKeys !== false) return keys;
  return keys.filter((key) => !keys.some((other) => key.startsWith(`${other}/`)));
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Byte by byte, and a readable failure. */
export function assertSame(actual: Uint8Array, expected: Uint8Array, what = "bytes"): void {
  assert.equal(actual.length, expected.length, `length of ${what}`);
  assert.equal(sha256(actual), sha256(expected), what);
}

export async function rejectsWith(code: ErrorCode, run: Promise<unknown>): Promise<void> {
  await assert.rejects(run, (error) => {
    assert.ok(isOperationalError(error), `${code} expected: ${String(error)}`);
    assert.equal(error.code, code);
    return true;
  });
}

/** Neither a blob nor a left-over nor a pending upload. */
export async function assertEmpty(driver: StorageDriver): Promise<void> {
  assert.deepEqual(await keysOf(driver), []);
  assert.deepEqual(await leftOversOf(driver), []);
}

export async function leftOversOf(driver: StorageDriver): Promise<readonly string[]> {
  const tokens: string[] = [];
  for await (const { token } of driver.leftOvers?.list({ signal: calm }) ?? []) tokens.push(token);
  return tokens;
}

/** Open descriptors of this process; -1 where the system does not tell. */
export function descriptorCount(): number {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return -1;
  }
}

/**
 * No more descriptors are open than before, but for connections that a driver keeps. What a caller was answered
 * ahead of, through a layer, may close a little later.
 */
export async function assertNoneLeftOpen(before: number, idleConnectionsMax = 0): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (descriptorCount() > before + idleConnectionsMax && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const left = descriptorCount() - before;
  assert.ok(left <= idleConnectionsMax, `${left} descriptors are left open`);
}

/** Resolves when it is so: what a driver undoes after a failure may end after its caller was told. */
export async function becomes(isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!(await isSo())) {
    assert.ok(performance.now() < deadline, `not within a minute: ${isSo}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** No upload in parts is left, or only for as long as it takes to cancel it. */
export async function assertNonePending(driver: StorageDriver): Promise<void> {
  await becomes(async () => {
    const pending = driver.parts?.listPending("", { signal: calm }) ?? [];
    return (await Array.fromAsync(pending)).length === 0;
  });
}

/** Sooner than by a deadline of the layers, on a machine that stands still for some seconds too. */
export async function soon<T>(running: Promise<T>, ms = 20_000): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing happened for ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([running, late]);
  } finally {
    clearTimeout(timer);
  }
}
