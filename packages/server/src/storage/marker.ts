// The mark by which a storage is known again, as text: where it lies, and what it is compared with, is for
// those who keep it.

import { environmentPattern } from "@roma/contract";

export interface Marker {
  readonly uuid: string;
  readonly storageId: string;
  /** The label of the environment whose data the storage holds; absent of one that has none yet. */
  readonly environment?: string;
}

/** A mark that was found, and the way to write an environment into it. */
export interface StorageMark extends Marker {
  /** Whatever it said before; durable when it resolves. */
  label(environment: string): Promise<void>;
}

/** A text that is longer is no mark. */
export const markerBytesMax = 4096;

/** Undefined where it is damaged. What it says beyond the uuid and the id is for people. */
export function parseMarker(text: string): Marker | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  if (!("uuid" in value) || typeof value.uuid !== "string") return undefined;
  if (!("storageId" in value) || typeof value.storageId !== "string") return undefined;
  const { uuid, storageId } = value;
  if (!("environment" in value)) return { uuid, storageId };
  const { environment } = value;
  if (typeof environment !== "string" || !environmentPattern.test(environment)) return undefined;
  return { uuid, storageId, environment };
}

/** The text of a mark that `parseMarker` understood, with this environment. */
export function labelledMarker(text: string, environment: string): string {
  const value: object = JSON.parse(text);
  return `${JSON.stringify({ ...value, environment })}\n`;
}
