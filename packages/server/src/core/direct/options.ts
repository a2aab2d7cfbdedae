/** What direct uploads need of the server. */
import type { AccessKeys } from "../access-keys.ts";
import type { Buckets } from "../buckets.ts";
import type { Multipart } from "../multipart/index.ts";
import type { Objects } from "../objects.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { MetadataStore } from "../ports/metadata-store.ts";
import type { Meter } from "../ports/meter.ts";
import type { Siblings } from "../ports/siblings.ts";
import type { Storages } from "../ports/storages.ts";
import type { TypeDetector } from "../ports/type-detector.ts";
import type { LeaseHolder } from "../resumable/lease-holder.ts";
import type { SteadyClock } from "../resumable/steady-clock.ts";

/** Absolute; of an upload, with the signature that makes it good. */
export type CallbackUrl = (uploadId: string, signature: string) => string;

export interface DirectUploadsOptions {
  readonly metadata: MetadataStore;
  readonly storages: Storages;
  readonly buckets: Buckets;
  readonly objects: Objects;
  readonly accessKeys: Pick<AccessKeys, "open">;
  /** Takes the parts that come by this server. */
  readonly multipart: Multipart;
  readonly detector: TypeDetector;
  readonly clock: Clock;
  readonly steady: SteadyClock;
  readonly log: Log;
  readonly meter: Meter;
  /** 32 bytes that serve nothing else. */
  readonly signingKey: Uint8Array;
  /** Whose blobs these are: stands in their keys (`newInstallation`). */
  readonly installation: string;
  readonly blobGraceMs: number;
  /** The server's own limit, under every bucket's. */
  readonly maxObjectBytes?: number;
  /** Unfinished uploads of one access key. */
  readonly openMax?: number;
  /** Uploads that one access key may begin in a second. */
  readonly createsPerSecondMax?: number;
  readonly siblings?: Siblings;
  /** Of every part but the last that comes by this server; left out: 5 MiB. */
  readonly partBytesMin?: number;
  /**
   * Where a storage reaches this server, to say that it has a form's file; left out: nowhere, and callbacks are
   * `unsupported`.
   */
  readonly callbackUrl?: CallbackUrl;
  /** How long a signed request is good; left out: an hour. */
  readonly requestMs?: number;
  /** Who completes, as other processes on the same store see it; left out: new with each start. */
  readonly holder?: LeaseHolder;
  readonly leaseMs?: number;
  readonly renewMs?: number;
}
