/** What resumable uploads need of the server. */
import type { Buckets } from "../buckets.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { MetadataStore } from "../ports/metadata-store.ts";
import type { Meter } from "../ports/meter.ts";
import type { PartBufferPool } from "../ports/part-buffers.ts";
import type { Siblings } from "../ports/siblings.ts";
import type { Storages } from "../ports/storages.ts";
import type { TypeDetector } from "../ports/type-detector.ts";
import type { LeaseHolder } from "./lease-holder.ts";
import type { SteadyClock } from "./steady-clock.ts";

export interface ResumableUploadsOptions {
  readonly metadata: MetadataStore;
  readonly storages: Storages;
  readonly buckets: Buckets;
  readonly detector: TypeDetector;
  readonly clock: Clock;
  readonly steady: SteadyClock;
  readonly log: Log;
  readonly meter: Meter;
  readonly buffers: PartBufferPool;
  /** Bytes of the parts that a storage of numbered parts is sent, or more; left out: 8 MiB. */
  readonly partBytesLeast?: number;
  readonly installation: string;
  readonly blobGraceMs: number;
  /** The server's own limit, under every bucket's. */
  readonly maxObjectBytes?: number;
  /** Unfinished uploads of one access key. */
  readonly openMax?: number;
  /** Uploads that one access key may begin in a second. */
  readonly createsPerSecondMax?: number;
  readonly siblings?: Siblings;
  /** Left out: alone, and new with each start. */
  readonly holder?: LeaseHolder;
  readonly leaseMs?: number;
  readonly renewMs?: number;
}
