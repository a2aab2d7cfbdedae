// Blobs in a bucket of the S3 family: AWS S3, MinIO, Ceph RGW, OSS, OBS, COS, R2, B2, GCS. One client and
// one signature for all; what differs between vendors is data (`providers.ts`).
//
// A put resolves when the storage has answered, what it reports equals what was sent, and the blob is
// found under its key.

import type { LookupFunction } from "node:net";
import { MiB } from "@roma/contract";
import { OperationalError } from "../../core/errors.ts";
import { type Clock, systemClock } from "../../core/ports/clock.ts";
import type {
  BlobHead,
  Body,
  BucketCors,
  Call,
  ConcatSource,
  GetOptions,
  Grant,
  ObjectBody,
  PresignedRequest,
  PutOptions,
  StorageCapabilities,
  StorageDriver,
} from "../../core/ports/storage-driver.ts";
import { Calls } from "../calls.ts";
import { refuseDigests } from "../refusals.ts";
import { S3Client } from "./client.ts";
import { concatObjects } from "./concat.ts";
import type { S3Config } from "./config.ts";
import { Cleanups, type S3Context } from "./context.ts";
import { copyObject } from "./copy.ts";
import { changeCors, readCors } from "./cors.ts";
import { tryOrigin } from "./cors-trial.ts";
import { type CredentialSource, cachedCredentials } from "./credentials/credentials.ts";
import { containerCredentials, instanceCredentials } from "./credentials/endpoints.ts";
import {
  type Environment,
  environmentCredentials,
  fileCredentials,
  staticCredentials,
} from "./credentials/sources.ts";
import { deleteObjects } from "./delete-many.ts";
import { classifyConnection, type Operation } from "./errors.ts";
import { listObjects } from "./list.ts";
import { deleteObject, getObject, headObject, probeBucket } from "./objects.ts";
import { type PartBuffers, sharedPartBuffers } from "./part-buffers.ts";
import { S3Parts } from "./parts.ts";
import { presign } from "./presign.ts";
import {
  type AddressStyle,
  dialectOf,
  invalidSetting,
  providers,
  type Vendor,
} from "./providers.ts";
import { put } from "./put.ts";

export interface S3Options extends S3Config {
  /** Kept on every row that points here. */
  readonly id: string;
  /** Read by the credentials `environment`, `file` and `container`. */
  readonly environment?: Environment;
  /** In place of what the settings name. */
  readonly credentialSource?: CredentialSource;
  /** The memory for parts; by default what all storages of the process share. */
  readonly buffers?: PartBuffers;
  /** Longer blobs are copied by ranges; by default the vendor's limit for one request. */
  readonly copyBytesMax?: number;
  /** Of such a range. */
  readonly copyPartBytes?: number;
  readonly clock?: Clock;
  /** How host names are resolved, where the system's way does not fit. */
  readonly lookup?: LookupFunction;
  /** Header `traceparent` of each request; by default there is none. */
  readonly traceparent?: (() => string | undefined) | undefined;
}

/** What a storage turned out to be, for reports; no secret is in it. */
export interface S3Facts {
  readonly vendor: Vendor;
  readonly origin: string;
  readonly bucket: string;
  readonly addressStyle: AddressStyle;
  /** Another than that of the settings, where the storage said so. */
  readonly region: string;
  readonly signature: string;
  /** How far the storage's clock is ahead of ours, as far as it mattered. */
  readonly clockSkewMs: number;
  readonly etagIsMd5: boolean;
}

export interface S3Storage extends StorageDriver {
  readonly facts: () => S3Facts;
}

/** Opens a storage without asking it anything; `invalid_request` names a setting that cannot be. */
export function openS3Storage(options: S3Options): S3Storage {
  return new S3Driver(options);
}

/** Large enough that a copy is few requests, small enough that each is answered in time. */
const copyPartBytesDefault = 256 * MiB;

class S3Driver implements S3Storage {
  readonly id: string;
  readonly capabilities: StorageCapabilities;
  readonly parts: S3Parts;
  readonly deleteMany?: NonNullable<StorageDriver["deleteMany"]>;
  readonly bucketCors: BucketCors;
  readonly #vendor: Vendor;
  readonly #context: S3Context;
  readonly #clock: Clock;

  constructor(options: S3Options) {
    const { clock = systemClock, keyPrefix } = options;
    const provider = providers[options.vendor];
    const dialect = dialectOf(provider, options.signature);
    const region = options.region ?? provider.region;
    if (region === undefined) throw invalidSetting(`region: ${provider.title} needs one`);
    const buffers = options.buffers ?? sharedPartBuffers();
    const partBytes = Math.max(options.partBytes, dialect.partBytesMin);
    if (partBytes > buffers.largeBytesMax) {
      throw invalidSetting("partBytes: more than all part buffers together");
    }
    const client = new S3Client({
      ...options,
      region,
      dialect,
      clock,
      credentials: cachedCredentials(sourceOf(options), { clock }),
    });
    this.id = options.id;
    this.#vendor = options.vendor;
    this.#clock = clock;
    this.#context = {
      client,
      dialect,
      calls: new Calls(),
      cleanups: new Cleanups(),
      buffers,
      keyPrefix,
      keyBytesMax: dialect.keyBytesMax - Buffer.byteLength(keyPrefix),
      partBytes,
      copyBytesMax: Math.min(options.copyBytesMax ?? dialect.copyBytesMax, dialect.copyBytesMax),
      copyPartBytes: options.copyPartBytes ?? copyPartBytesDefault,
      streamBytesMax: Math.min(options.streamBytesMax, dialect.putBytesMax),
      etagIsMd5: options.etagIsMd5 ?? dialect.etagIsMd5,
    };
    this.parts = new S3Parts(this.#context);
    if (dialect.batchDelete) {
      this.deleteMany = (keys, call) =>
        this.#call("delete", call, () => deleteObjects(this.#context, keys, call));
    }
    const { hint } = dialect.bucketCors;
    this.bucketCors = {
      ...(hint === undefined ? {} : { hint }),
      read: (call) => this.#call("cors", call, () => readCors(this.#context, call)),
      change: (edit, call) => this.#call("cors", call, () => changeCors(this.#context, edit, call)),
      tryOrigin: (origin, call) =>
        this.#call("cors", call, () => tryOrigin(this.#context, origin, call)),
    };
    this.capabilities = {
      conditionalPut: dialect.createOnlyHeader !== undefined,
      conditionalComplete: dialect.createOnlyHeader !== undefined && dialect.conditionalComplete,
      durability: "server",
      // The driver compares by itself; digests that a caller expects are the checksum layer's.
      verifies: [],
      etagIsMd5: false,
      listing: "strong",
      keepsMetadata: false,
      nestedKeys: dialect.nestedKeys,
      keyBytesMax: this.#context.keyBytesMax,
      metadataBytesMax: 0,
      putBytesMax: partBytes * dialect.partsMax,
    };
  }

  readonly facts = (): S3Facts => {
    const { client, dialect, etagIsMd5 } = this.#context;
    return {
      vendor: this.#vendor,
      origin: client.address.origin,
      bucket: client.bucket,
      addressStyle: client.address.style,
      region: client.region,
      signature: dialect.signature,
      clockSkewMs: client.now().getTime() - this.#clock.now().getTime(),
      etagIsMd5,
    };
  };

  async put(key: string, body: Body, options: PutOptions): Promise<BlobHead> {
    options.signal.throwIfAborted();
    refuseDigests(options);
    // It classifies by itself: the source's own errors are none of the storage's.
    return await this.#context.calls.run(() => put(this.#context, key, body, options));
  }

  get(key: string, options: GetOptions): Promise<{ head: BlobHead; body: ObjectBody }> {
    return this.#call("get", options, () => getObject(this.#context, key, options));
  }

  head(key: string, options: Call): Promise<BlobHead> {
    return this.#call("head", options, () => headObject(this.#context, key, options));
  }

  list(prefix: string, options: Call & { readonly after?: string }): AsyncGenerator<BlobHead> {
    return listObjects(this.#context, prefix, options);
  }

  delete(key: string, options: Call): Promise<void> {
    return this.#call("delete", options, () => deleteObject(this.#context, key, options));
  }

  probe(options: Call): Promise<void> {
    return this.#call("probe", options, async () => {
      try {
        await probeBucket(this.#context, options);
      } catch (error) {
        const other = error instanceof OperationalError && error.code !== "unavailable";
        if (!other) throw error;
        throw new OperationalError("unavailable", error.message, { cause: error });
      }
    });
  }

  readonly copy = (from: string, to: string, options: PutOptions): Promise<BlobHead> =>
    this.#call("copy", options, () => {
      refuseDigests(options);
      return copyObject(this.#context, [from, to], options);
    });

  readonly concat = (
    from: readonly ConcatSource[],
    to: string,
    options: PutOptions,
  ): Promise<BlobHead> =>
    this.#call("copy", options, () => {
      refuseDigests(options);
      return concatObjects(this.#context, { from, to }, options);
    });

  readonly presign = (grant: Grant, options: Call): Promise<PresignedRequest> =>
    this.#call("presign", options, () => presign(this.#context, grant, options));

  /** Ends after the running calls and what they left to be undone; bodies have a few seconds. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { calls, cleanups, client } = this.#context;
    await calls.close();
    await cleanups.end();
    await client.close();
  }

  #call<T>(operation: Operation, { signal }: Call, run: () => Promise<T>): Promise<T> {
    return this.#context.calls.run(async () => {
      signal.throwIfAborted();
      try {
        return await run();
      } catch (error) {
        throw signal.aborted ? signal.reason : classifyConnection(error, operation);
      }
    });
  }
}

function sourceOf(options: S3Options): CredentialSource {
  const { credentials, accessKeyId, secretAccessKey, sessionToken, environment = {} } = options;
  if (options.credentialSource !== undefined) return options.credentialSource;
  switch (credentials) {
    case "environment":
      return environmentCredentials(environment);
    case "file": {
      const { credentialsFile: path, credentialsProfile: profile } = options;
      return fileCredentials({ path, profile, environment });
    }
    case "container":
      return containerCredentials(environment);
    case "instance":
      return instanceCredentials();
    case "static":
      break;
  }
  if (accessKeyId === undefined || secretAccessKey === undefined) {
    throw invalidSetting("accessKeyId and secretAccessKey: needed with static credentials");
  }
  return staticCredentials({
    accessKeyId,
    secretAccessKey: secretAccessKey.reveal(),
    ...(sessionToken !== undefined && { sessionToken: sessionToken.reveal() }),
  });
}
