// What several steps of a canary do, or find out, of the storage that they try.

import { isOperationalError } from "../../core/errors.ts";
import type { Part, PresignedRequest } from "../../core/ports/storage-driver.ts";
import { bytesOf, type Trial } from "./trial.ts";

/** An upload of two parts, written the last one first, and what completes it. */
export async function partsOf(trial: Trial, key: string) {
  const { driver, signal } = trial;
  const { parts } = driver;
  if (parts === undefined) throw new Error("the storage has no parts");
  const partBytes = Math.max(parts.partBytesMin, 64 * 1024);
  const bytes = bytesOf(partBytes + 1_001, 5);
  const upload = trial.upload(await parts.create(key, { signal, partBytes }));
  const write = (partNumber: number): Promise<Part> => {
    const part = bytes.subarray((partNumber - 1) * partBytes, partNumber * partBytes);
    return parts.writePart(upload, partNumber, part, { signal, digests: {} });
  };
  const second = await write(2);
  const written = [await write(1), second];
  const complete = (options: { readonly createOnly?: boolean }) =>
    parts.complete(upload, written, { ...options, signal, length: bytes.length });
  return { bytes, upload, parts: written, complete };
}

/** Without the trial's own prefix. */
export async function namesListed(
  { driver, signal, prefix }: Trial,
  below: string,
  after?: string,
): Promise<readonly string[]> {
  const found: string[] = [];
  const options = after === undefined ? { signal } : { signal, after };
  for await (const { key } of driver.list(`${prefix}${below}`, options)) {
    found.push(key.slice(prefix.length));
  }
  return found;
}

/** False where the storage refuses the key for good, or loses what was put there. */
export async function canHold(trial: Trial, key: string, bytes: Uint8Array): Promise<boolean> {
  try {
    await trial.put(key, bytes);
    await trial.expect(key, bytes);
    return true;
  } catch (error) {
    if (isOperationalError(error) && !error.retryable) return false;
    throw error;
  }
}

export async function missing({ driver, signal }: Trial, key: string): Promise<void> {
  try {
    await driver.head(key, { signal });
  } catch (error) {
    if (isOperationalError(error, "object_not_found")) return;
    throw error;
  }
  throw new Error("there is a blob where none should be");
}

export async function wasRefused(running: Promise<unknown>): Promise<boolean> {
  try {
    await running;
    return false;
  } catch (error) {
    if (isOperationalError(error, "already_exists")) return true;
    throw error;
  }
}

/** As a client without credentials does it. */
export async function send(
  request: PresignedRequest | undefined,
  { signal, body }: { readonly signal: AbortSignal; readonly body?: Uint8Array<ArrayBuffer> },
): Promise<Buffer> {
  if (request === undefined) throw new Error("nothing was signed");
  const { method, url, headers } = request;
  const response = await fetch(url, { method, headers, signal, ...(body && { body }) });
  const answer = Buffer.from(await response.arrayBuffer());
  if (!response.ok) throw new Error(`${method} of the signed address answered ${response.status}`);
  return answer;
}

/** In segments that every file system takes. */
export function longName(bytes: number): string {
  const segments: string[] = [];
  let left = bytes;
  while (left > 0) {
    // A segment and its slash; the last one without, and never empty.
    const length = left <= 200 ? left : Math.min(199, left - 2);
    segments.push("k".repeat(length));
    left -= length + 1;
  }
  return segments.join("/");
}

export function assertTexts(actual: readonly string[], expected: readonly string[]): void {
  if (actual.length === expected.length && actual.every((text, at) => text === expected[at]))
    return;
  throw new Error(`listed ${JSON.stringify(actual)} instead of ${JSON.stringify(expected)}`);
}
