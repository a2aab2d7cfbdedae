/** Objects: put, get, head, list, delete, copy, move; every byte in either direction is checked. */
import {
  type BatchDeleteResultJson,
  batchDeleteKeysMax,
  type CopyJson,
  type ObjectJson,
  type ObjectListJson,
} from "@roma/contract";
import { bucketObjectsPath, objectPath, query } from "./address.ts";
import { type Caller, readJson } from "./caller.ts";
import { Crc64Nvme } from "./crc64-nvme.ts";
import { formatCrc64NvmeField } from "./digest-fields.ts";
import { type Download, type GetOptions, openDownload } from "./download.ts";
import { isRomaError, RomaError } from "./errors.ts";
import { metadataFields } from "./metadata-fields.ts";
import { type ObjectHead, parseObjectHead } from "./object-head.ts";
import { parseBatchDeleteResult, parseObject, parseObjectList } from "./parse.ts";
import { withRetry } from "./retry.ts";
import type { Body } from "./transport.ts";

export interface Progress {
  /** Bytes read from the source or delivered to the reader so far; starts over with an attempt. */
  readonly bytes: number;
  readonly totalBytes: number | undefined;
}

export interface PutOptions {
  readonly contentType?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  /** `*` stores only if there is no object yet. */
  readonly ifNoneMatch?: "*";
  /** Stores only over the object with this entity tag. */
  readonly ifMatch?: string;
  /** SHA-256 in hex, when known; the server then verifies it before it stores. */
  readonly sha256?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

export interface PutResult {
  readonly object: ObjectJson;
  /** False when an object was replaced. */
  readonly created: boolean;
}

export interface SignalOption {
  readonly signal?: AbortSignal;
}

export interface ListOptions extends SignalOption {
  readonly prefix?: string;
  /** Groups keys up to it: `/` lists like folders. */
  readonly delimiter?: string;
  /** Objects and prefixes per page. */
  readonly limit?: number;
  /** Starts at the page this cursor names. */
  readonly cursor?: string;
}

export interface CopyOptions extends SignalOption {
  readonly contentType?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  /** Refuse if the target exists. */
  readonly createOnly?: boolean;
}

export interface Address {
  readonly bucket: string;
  readonly key: string;
}

/** What can be done with objects. `Source` is what the platform can send. */
export class Objects<Source> {
  readonly #caller: Caller;
  readonly #toBody: (source: Source, length: number | undefined) => Body;

  constructor(caller: Caller, toBody: (source: Source, length: number | undefined) => Body) {
    this.#caller = caller;
    this.#toBody = toBody;
  }

  /**
   * Stores `source` as the object. Resolves when the server holds it durably and has confirmed the
   * same size and CRC-64/NVME that were read here; otherwise throws `checksum_mismatch`.
   */
  async put(
    bucket: string,
    key: string,
    source: Source,
    options: PutOptions & { readonly length?: number } = {},
  ): Promise<PutResult> {
    const { signal, onProgress } = options;
    const body = this.#toBody(source, options.length);
    const path = objectPath(bucket, key);
    const sent = { crc: new Crc64Nvme(), bytes: 0 };
    const digests = [
      ...(body.crc64nvme === undefined ? [] : [formatCrc64NvmeField(body.crc64nvme)]),
      ...(options.sha256 === undefined ? [] : [formatSha256Field(options.sha256)]),
    ];
    const headers: Record<string, string> = {
      accept: "application/json",
      ...metadataFields(options.metadata ?? {}),
      ...(options.contentType === undefined ? {} : { "content-type": options.contentType }),
      ...(options.ifNoneMatch === undefined ? {} : { "if-none-match": options.ifNoneMatch }),
      ...(options.ifMatch === undefined ? {} : { "if-match": options.ifMatch }),
      ...(digests.length === 0 ? {} : { "repr-digest": digests.join(", ") }),
    };
    const measured: Body = {
      ...body,
      async *open(openSignal) {
        sent.crc = new Crc64Nvme();
        sent.bytes = 0;
        for await (const chunk of body.open(openSignal)) {
          sent.crc.update(chunk);
          sent.bytes += chunk.length;
          yield chunk;
          onProgress?.({ bytes: sent.bytes, totalBytes: body.length });
        }
      },
    };
    const response = await this.#caller.call({
      method: "PUT",
      path,
      headers,
      body: measured,
      signal,
    });
    const object = await readJson(response, parseObject);
    verifyStored(object, sent.bytes, sent.crc.hex);
    return { object, created: response.status === 201 };
  }

  /**
   * Opens an object for reading. The body resumes where a connection broke, and ends with
   * `checksum_mismatch` instead of its end when the bytes are not those that were stored.
   */
  get(bucket: string, key: string, options: GetOptions = {}): Promise<Download> {
    return openDownload(this.#caller, objectPath(bucket, key), options);
  }

  /** The facts about an object, without its bytes. */
  async head(bucket: string, key: string, { signal }: SignalOption = {}): Promise<ObjectHead> {
    const response = await this.#caller.call({
      method: "HEAD",
      path: objectPath(bucket, key),
      headers: { "want-repr-digest": "crc64nvme=10" },
      signal,
    });
    response.discard();
    return parseObjectHead(response.headers);
  }

  /** Pages of a bucket, in the order of keys; ends after the last. */
  async *list(
    bucket: string,
    { signal, cursor, ...filter }: ListOptions = {},
  ): AsyncGenerator<ObjectListJson, void, undefined> {
    let next: string | undefined = cursor;
    for (;;) {
      const page: ObjectListJson = await this.#caller.json({
        method: "GET",
        path: bucketObjectsPath(bucket) + query({ ...filter, cursor: next }),
        parse: parseObjectList,
        signal,
      });
      yield page;
      if (page.cursor === null) return;
      if (page.cursor === next) {
        throw new RomaError("bad_answer", "the list does not advance: its cursor came twice");
      }
      next = page.cursor;
    }
  }

  /** Deletes an object; `object_not_found` if there is none. */
  async delete(
    bucket: string,
    key: string,
    options: SignalOption & { readonly ifMatch?: string } = {},
  ): Promise<void> {
    const { signal, ifMatch } = options;
    let answerLost = false;
    await withRetry({ policy: this.#caller.retry, signal }, async () => {
      try {
        const response = await this.#caller.once({
          method: "DELETE",
          path: objectPath(bucket, key),
          headers: ifMatch === undefined ? {} : { "if-match": ifMatch },
          signal,
        });
        response.discard();
      } catch (error) {
        // The attempt whose answer was lost has deleted it.
        if (answerLost && isRomaError(error, "object_not_found")) return;
        answerLost ||= isRomaError(error) && error.mayHaveHappened;
        throw error;
      }
    });
  }

  /** Deletes any number of objects, in batches. Failures of single keys are in the result. */
  async deleteMany(
    bucket: string,
    keys: readonly string[],
    { signal }: SignalOption = {},
  ): Promise<BatchDeleteResultJson> {
    const deleted: string[] = [];
    const failed: BatchDeleteResultJson["failed"][number][] = [];
    for (let at = 0; at < keys.length; at += batchDeleteKeysMax) {
      const result = await this.#caller.json({
        method: "POST",
        path: `${bucketObjectsPath(bucket)}?delete`,
        value: { keys: keys.slice(at, at + batchDeleteKeysMax) },
        parse: parseBatchDeleteResult,
        signal,
      });
      deleted.push(...result.deleted);
      failed.push(...result.failed);
    }
    return { deleted, failed };
  }

  /** Copies within the server; the bytes do not pass through here. */
  copy(from: Address, to: Address, options: CopyOptions = {}): Promise<ObjectJson> {
    return this.#transfer("/v1/copy", { from, to, options, idempotent: true });
  }

  /** Moves within the server. A lost answer is not retried: the source may be gone already. */
  move(from: Address, to: Address, options: CopyOptions = {}): Promise<ObjectJson> {
    return this.#transfer("/v1/move", { from, to, options, idempotent: false });
  }

  #transfer(path: string, transfer: Transfer): Promise<ObjectJson> {
    const { from, to, idempotent } = transfer;
    const { signal, ...rest } = transfer.options;
    const value: CopyJson = { from, to, ...rest };
    return this.#caller.json({
      method: "POST",
      path,
      value,
      parse: parseObject,
      signal,
      // Repeated after a lost answer, "only if absent" would refuse its own success.
      idempotent: idempotent && rest.createOnly !== true,
    });
  }
}

interface Transfer {
  readonly from: Address;
  readonly to: Address;
  readonly options: CopyOptions;
  readonly idempotent: boolean;
}

function verifyStored(object: ObjectJson, bytes: number, crc64nvme: string): void {
  const stored = object.checksums.crc64nvme;
  if (object.size === bytes && stored === crc64nvme) return;
  throw new RomaError(
    "checksum_mismatch",
    `the server stored ${object.size} bytes with CRC ${stored}, but ${bytes} bytes with CRC ` +
      `${crc64nvme} were sent; the object is still there: upload it again or delete it`,
  );
}

function formatSha256Field(hex: string): string {
  if (!/^[0-9a-f]{64}$/.test(hex)) throw new TypeError("sha256 must be 64 lower-case hex digits");
  const text = String.fromCharCode(...(hex.match(/../g) ?? []).map((pair) => parseInt(pair, 16)));
  return `sha-256=:${btoa(text)}:`;
}
