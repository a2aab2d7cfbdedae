// The mark by which a storage is known again, for drivers that keep none by themselves: a small blob
// with a uuid and the storage's id. Settings that lead to a place with another mark, or with none where
// one was, lead to another storage, and an id never means two.

import { randomUUID } from "node:crypto";
import { isOperationalError, OperationalError } from "../../core/errors.ts";
import type { StorageDriver } from "../../core/ports/storage-driver.ts";
import {
  labelledMarker,
  type Marker,
  markerBytesMax,
  parseMarker,
  type StorageMark,
} from "../marker.ts";

/** No key of an object's blob begins so. */
export const markerKey = "roma/storage.json";

const labelMsMax = 20_000;

/**
 * The storage's mark, which is made if the storage is new to us (`expected` is absent)
 * and carries none. `unavailable` if the mark is not the one expected, or names another id.
 */
export async function claimMarker(
  driver: StorageDriver,
  options: { readonly signal: AbortSignal; readonly expected?: string },
): Promise<StorageMark> {
  const { signal, expected } = options;
  let text = await readMarker(driver, signal);
  if (text === undefined && expected === undefined) {
    await makeMarker(driver, signal);
    text = await readMarker(driver, signal);
  }
  const marker = text === undefined ? undefined : parsed(driver.id, text);
  assertMarker(driver.id, marker, expected);
  return { ...marker, label: (environment) => labelMarker(driver, marker, environment) };
}

/** `unavailable`, and not to be tried again: settings have to change, or a mount has to come back. */
export function assertMarker(
  id: string,
  marker: Marker | undefined,
  expected: string | undefined,
): asserts marker is Marker {
  if (marker === undefined) throw refusal("carries no mark of a storage", id);
  if (marker.storageId !== id) throw refusal(`is the storage ${marker.storageId}`, id);
  if (expected !== undefined && marker.uuid !== expected) {
    throw refusal("is another storage: its mark is not the one that was seen before", id);
  }
}

async function readMarker(driver: StorageDriver, signal: AbortSignal): Promise<string | undefined> {
  let text = "";
  try {
    const { head, body } = await driver.get(markerKey, { signal });
    await using _owned = body;
    if (head.length > markerBytesMax) throw refusal("carries a mark that is damaged", driver.id);
    const decoder = new TextDecoder();
    for await (const chunk of body) text += decoder.decode(chunk, { stream: true });
  } catch (error) {
    if (isOperationalError(error, "object_not_found")) return undefined;
    throw error;
  }
  return text;
}

function parsed(id: string, text: string): Marker {
  const marker = parseMarker(text);
  if (marker === undefined) throw refusal("carries a mark that is damaged", id);
  return marker;
}

/** Reads it again first: what is replaced must still be this storage's own. */
async function labelMarker(
  driver: StorageDriver,
  { uuid }: Marker,
  environment: string,
): Promise<void> {
  const signal = AbortSignal.timeout(labelMsMax);
  const text = await readMarker(driver, signal);
  assertMarker(driver.id, text === undefined ? undefined : parsed(driver.id, text), uuid);
  const bytes = Buffer.from(labelledMarker(text ?? "", environment));
  await driver.put(markerKey, oneChunk(bytes), { signal, length: bytes.length });
}

async function makeMarker(driver: StorageDriver, signal: AbortSignal): Promise<void> {
  const marker = { version: 1, uuid: randomUUID(), storageId: driver.id };
  const bytes = Buffer.from(`${JSON.stringify(marker)}\n`);
  // Where the storage cannot tell who was first, the one that is read back afterwards stands.
  const createOnly = driver.capabilities.conditionalPut;
  try {
    await driver.put(markerKey, oneChunk(bytes), { signal, length: bytes.length, createOnly });
  } catch (error) {
    if (!isOperationalError(error, "already_exists")) throw error;
  }
}

function refusal(what: string, storageId: string): OperationalError {
  const message = `the place that the settings of ${storageId} lead to ${what}`;
  return new OperationalError("unavailable", message, {
    retryable: false,
    context: { storageId, marker: "refused" },
  });
}

async function* oneChunk(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
