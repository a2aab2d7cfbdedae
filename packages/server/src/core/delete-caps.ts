/**
 * The cap on deletes: how many objects of a bucket requests may delete in any hour, whoever asks. The store counts,
 * in the transactions that delete; here is what the number is, and the alarm when it is reached.
 */
import type { Actor } from "./access.ts";
import { type Alerts, silentAlerts } from "./ports/alerts.ts";
import type { Clock } from "./ports/clock.ts";
import type { Log } from "./ports/log.ts";
import type { BucketRecord } from "./ports/metadata-store.ts";
import type { Meter } from "./ports/meter.ts";

export interface DeleteCapsOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly alerts?: Alerts;
  /** The server's label, of buckets that have none of their own. */
  readonly environment?: string | null;
  /** Of buckets whose environment is production, and that do not say otherwise; by default 1,000. */
  readonly productionDeletesPerHour?: number;
}

/** The label of the environment in which deletes are capped unless a bucket says otherwise. */
const production = "production";
const alarmMs = 60 * 60 * 1000;
const alarmsMax = 10_000;

export class DeleteCaps {
  readonly #options: DeleteCapsOptions;
  /** By bucket, of the clock that never goes back. */
  readonly #alarmedAt = new Map<string, number>();

  constructor(options: DeleteCapsOptions) {
    this.#options = options;
  }

  /** Null: any number. */
  of({ deletesPerHour, environment }: BucketRecord): number | null {
    if (deletesPerHour !== null) return deletesPerHour;
    const { environment: ofServer = null, productionDeletesPerHour = 1_000 } = this.#options;
    return (environment ?? ofServer) === production ? productionDeletesPerHour : null;
  }

  /** Somebody was refused; the first time in an hour it is told to whoever runs the server. */
  alarm(bucket: BucketRecord, actor: Actor): void {
    const { clock, log, meter, alerts = silentAlerts } = this.#options;
    const now = clock.monotonicMs();
    const alarmedAt = this.#alarmedAt.get(bucket.name) ?? Number.NEGATIVE_INFINITY;
    if (now - alarmedAt < alarmMs) return;
    if (this.#alarmedAt.size >= alarmsMax) this.#alarmedAt.clear();
    this.#alarmedAt.set(bucket.name, now);
    meter.count("delete_caps_reached_total");
    const who = actor.kind === "anonymous" ? {} : { keyId: actor.keyId };
    log.error(
      { bucket: bucket.name, deletesPerHour: this.of(bucket), actor: actor.kind, ...who },
      "as many objects of a bucket were deleted within an hour as may be: further deletes are refused",
    );
    alerts.raise(
      "delete_cap_reached",
      { bucket: bucket.name, actor: actor.kind, ...who },
      `${this.of(bucket)} objects of bucket ${bucket.name} were deleted within an hour: further deletes are refused`,
    );
  }
}
