/**
 * Storages that say themselves that a form's file is there. What they are told to call is an address with a signature
 * of ours: only who was given the form knows it, whatever the storage's own signature is worth.
 */
import { OperationalError } from "../errors.ts";
import type { StorageCallback } from "../ports/storage-driver.ts";
import type { CallbackUrl } from "./options.ts";
import type { PartSignatures } from "./part-signatures.ts";
import { type DirectRecord, isCalledBack } from "./record.ts";
import type { BeginDirectRequest } from "./requests.ts";

/** Stands for an upload that is not there yet. */
const noId = "0".repeat(32);

export class UploadCallbacks {
  readonly #signatures: PartSignatures;
  readonly #urlOf: CallbackUrl | undefined;

  constructor(signatures: PartSignatures, urlOf: CallbackUrl | undefined) {
    this.#signatures = signatures;
    this.#urlOf = urlOf;
  }

  /**
   * What is asked for at the beginning, to see whether the storage makes such calls; `undefined` if nothing is.
   * `invalid_request` without a form, `unsupported` where no storage could reach this server.
   */
  wanted({ callback, form }: BeginDirectRequest): StorageCallback | undefined {
    if (callback !== true) return undefined;
    if (form !== true) {
      throw new OperationalError("invalid_request", 'field "callback" needs "form": true', {
        context: { field: "callback" },
      });
    }
    return this.#of(noId);
  }

  /** What the form of this upload makes the storage call. */
  ofUpload(upload: DirectRecord): StorageCallback | undefined {
    return isCalledBack(upload) ? this.#of(upload.id) : undefined;
  }

  isGood(uploadId: string, signature: string): boolean {
    return this.#signatures.isGoodCallback(uploadId, signature);
  }

  #of(uploadId: string): StorageCallback {
    if (this.#urlOf === undefined) {
      const message =
        "callback: publicUrl is not configured, so that the storage would not know where to call";
      throw new OperationalError("unsupported", message, { context: { field: "callback" } });
    }
    const url = this.#urlOf(uploadId, this.#signatures.signCallback(uploadId));
    return { url, fields: { uploadId } };
  }
}

export function cannotCallBack(storageId: string): OperationalError {
  const message =
    `callback: nothing calls back when a form with this file is posted to the storage ${storageId}; an ` +
    'Alibaba OSS with signature "native" does, if the file is not empty and "via" is not "server"';
  return new OperationalError("unsupported", message, {
    context: { field: "callback", storageId },
  });
}
