/** Direct uploads as the store keeps them: the way by which the bytes come stands among the attributes. */
import { strict as assert } from "node:assert";
import { OperationalError } from "../errors.ts";
import { multipartAttributes } from "../multipart/object-attributes.ts";
import type { UploadAddress } from "../ports/storage-driver.ts";
import type { UploadRecord } from "../ports/upload-store.ts";
import { type PartPlan, planOf } from "./part-plan.ts";
import type { DirectWay } from "./requests.ts";

/** Told to whoever lists uploads. */
export const directProtocol = "direct";

export interface DirectRecord extends UploadRecord {
  readonly key: string;
  readonly length: number;
}

/** An upload that was begun here. */
export function isDirect(record: UploadRecord): record is DirectRecord {
  return record.protocol === directProtocol && record.key !== null && record.length !== null;
}

export function wayAttributes(
  way: DirectWay,
  {
    partBytes,
    isForm,
    isCalledBack = false,
  }: {
    readonly partBytes: number;
    readonly isForm: boolean;
    readonly isCalledBack?: boolean;
  },
): Record<string, string> {
  const words = [
    way,
    partBytes,
    ...(isForm ? ["form"] : []),
    ...(isCalledBack ? ["callback"] : []),
  ];
  return { [multipartAttributes.direct]: words.join(":") };
}

/** Its bytes come by a form, as a whole. */
export function isFormUpload({ attributes }: UploadRecord): boolean {
  return (attributes[multipartAttributes.direct] ?? "").split(":")[2] === "form";
}

/** The storage asks for the object of it, once it has the form. */
export function isCalledBack({ attributes }: UploadRecord): boolean {
  return (attributes[multipartAttributes.direct] ?? "").split(":")[3] === "callback";
}

/** Where a storage puts what a form brings: under no key that is ever a blob's. */
export function stagingKeyOf(blobKey: string): string {
  return `${blobKey}.form`;
}

export function wayOf({ attributes }: UploadRecord): DirectWay {
  const way = (attributes[multipartAttributes.direct] ?? "").split(":")[0];
  assert(way === "storage" || way === "server", "a direct upload has a way");
  return way;
}

export function planOfRecord({ attributes, length }: DirectRecord): PartPlan {
  const partBytes = Number((attributes[multipartAttributes.direct] ?? "").split(":")[1]);
  assert(Number.isSafeInteger(partBytes) && partBytes > 0, "a direct upload has a size of parts");
  return planOf(length, partBytes);
}

/** `locked` while the storage's own upload is being begun. */
export function placeOf({ place }: UploadRecord): {
  readonly address: UploadAddress;
  readonly storageId: string;
} {
  if (place === null || place.token === null) {
    throw new OperationalError("locked", "the upload is being begun");
  }
  return { address: { key: place.blobKey, token: place.token }, storageId: place.storageId };
}
