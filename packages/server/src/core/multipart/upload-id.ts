/** Ids of uploads in parts: unguessable, and in order of time so that lists of one key are too. */
import { randomBytes } from "node:crypto";

const pattern = /^[0-9a-f]{32}$/;

/** 48 bits of milliseconds, 80 random bits. */
export function newUploadId(now: Date): string {
  return now.getTime().toString(16).padStart(12, "0") + randomBytes(10).toString("hex");
}

/** Whether it can be one at all. */
export function isUploadId(id: string): boolean {
  return pattern.test(id);
}
