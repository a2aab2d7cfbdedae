// The mark by which a storage is known again, as text: where it lies, and what it is compared with, is for
// those who keep it.

export interface Marker {
  readonly uuid: string;
  readonly storageId: string;
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
  return { uuid: value.uuid, storageId: value.storageId };
}
