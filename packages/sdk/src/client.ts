/** What `Roma` is on every platform: objects at hand. No platform code. */
import type { BatchDeleteResultJson, ObjectJson } from "@roma/contract";
import { objectPath } from "./address.ts";
import { type Download, type DownloadOptions, openDownload } from "./download.ts";
import type { ObjectHead } from "./object-head.ts";
import {
  type Address,
  type CopyOptions,
  deleteObject,
  deleteObjects,
  type ListOptions,
  listObjects,
  type ObjectList,
  type SignalOption,
  type SignUrlOptions,
  signObjectUrl,
  statObject,
  transferObject,
} from "./objects.ts";
import { callerOf, UploadClient } from "./upload-client.ts";

/** One server, one credential. `Given` is what the platform can upload. */
export class Client<Given> extends UploadClient<Given> {
  /**
   * Opens an object for reading. The body resumes where a connection broke, and ends with
   * `checksum_mismatch` instead of its end when the bytes are not those that were stored.
   */
  download({ bucket, key }: Address, options: DownloadOptions = {}): Promise<Download> {
    return openDownload(callerOf(this), objectPath(bucket, key), options);
  }

  /** The facts about an object, without its bytes. */
  stat(address: Address, options: SignalOption = {}): Promise<ObjectHead> {
    return statObject(callerOf(this), address, options);
  }

  /** The objects of a bucket, in the order of their keys. */
  list(bucket: string, options: ListOptions = {}): ObjectList {
    return listObjects(callerOf(this), bucket, options);
  }

  /** Deletes an object; `object_not_found` if there is none. */
  delete(
    address: Address,
    options: SignalOption & { readonly ifMatch?: string } = {},
  ): Promise<void> {
    return deleteObject(callerOf(this), address, options);
  }

  /** Deletes any number of objects, in batches. Failures of single keys are in the result. */
  deleteMany(
    bucket: string,
    keys: readonly string[],
    options: SignalOption = {},
  ): Promise<BatchDeleteResultJson> {
    return deleteObjects(callerOf(this), bucket, keys, options);
  }

  /** Copies within the server; the bytes do not pass through here. */
  copy(from: Address, to: Address, options: CopyOptions = {}): Promise<ObjectJson> {
    return transferObject(callerOf(this), { kind: "copy", from, to, options });
  }

  /** Moves within the server. A lost answer is not retried: the source may be gone already. */
  move(from: Address, to: Address, options: CopyOptions = {}): Promise<ObjectJson> {
    return transferObject(callerOf(this), { kind: "move", from, to, options });
  }

  /** An absolute URL that reads, puts or deletes one object without a credential, for some time. */
  signUrl(address: Address, options: SignUrlOptions = {}): Promise<string> {
    return signObjectUrl(callerOf(this), address, options);
  }
}
