/** One of the ways by which the bytes of a direct upload come. */
import type { Actor } from "../access.ts";
import type { Digests } from "../ports/storage-driver.ts";
import type { DirectRecord } from "./record.ts";
import type {
  CompleteDirectRequest,
  CompletedDirect,
  DirectPart,
  FormRequest,
  PartRequest,
} from "./requests.ts";

export interface StoredPart {
  readonly length: number;
  readonly etag: string;
  readonly digests: Digests;
}

export interface Way {
  /** In the order of the numbers, which must be the upload's. */
  sign(
    upload: DirectRecord,
    numbers: readonly number[],
    options: { readonly expiresAt: Date; readonly signal: AbortSignal },
  ): Promise<readonly PartRequest[]>;
  /** Of an upload that comes by a form. */
  signForm(
    upload: DirectRecord,
    options: { readonly expiresAt: Date; readonly signal: AbortSignal },
  ): Promise<FormRequest>;
  /** By number. `locked` while the upload is being completed. */
  stored(
    actor: Actor,
    upload: DirectRecord,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<number, StoredPart>>;
  /** Of an upload that is not complete, as far as is known. */
  complete(
    actor: Actor,
    upload: DirectRecord,
    request: CompleteDirectRequest,
  ): Promise<CompletedDirect>;
}

/** In order of numbers. */
export function partsOf(stored: ReadonlyMap<number, StoredPart>): readonly DirectPart[] {
  return [...stored]
    .map(([number, { length, etag }]) => ({ number, length, etag }))
    .sort((one, other) => one.number - other.number);
}
