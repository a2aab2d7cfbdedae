/**
 * Refusals on their way into the audit log, which nobody may fill by being refused: of the same actor, action,
 * bucket and code the first in a window is recorded at once, and at its end how many more there were. Past
 * `kindsMax` different ones in a window the rest are only counted, by a metric.
 */
import type { ErrorCode } from "../errors.ts";
import type { AuditStore, Refusal } from "../ports/audit-store.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { Meter } from "../ports/meter.ts";

/** What says something about whoever asked; that a request was malformed does not. */
const recordedCodes: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "access_denied",
  "unauthenticated",
  "object_retained",
  "delete_cap_reached",
  "environment_mismatch",
]);
const windowMsDefault = 60_000;
const kindsMaxDefault = 1_000;

export type NewRefusal = Omit<Refusal, "at" | "repeated">;

/** Where core says that it refused a part of a request whose answer is a success. */
export interface RefusalSink {
  note(refusal: NewRefusal): void;
}

export interface RefusalsOptions {
  readonly metadata: Pick<AuditStore, "appendRefusals">;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly windowMs?: number;
  readonly kindsMax?: number;
}

export class Refusals implements RefusalSink, AsyncDisposable {
  readonly #options: RefusalsOptions;
  readonly #kindsMax: number;
  readonly #window = new Map<string, { readonly first: NewRefusal; repeated: number }>();
  readonly #timer: NodeJS.Timeout;
  #appending: Promise<void> = Promise.resolve();

  constructor(options: RefusalsOptions) {
    this.#options = options;
    this.#kindsMax = options.kindsMax ?? kindsMaxDefault;
    this.#timer = setInterval(() => this.#endWindow(), options.windowMs ?? windowMsDefault);
    this.#timer.unref();
  }

  /** Never throws and waits for nothing. */
  note(refusal: NewRefusal): void {
    if (!recordedCodes.has(refusal.code)) return;
    const kind = kindOf(refusal);
    const known = this.#window.get(kind);
    if (known !== undefined) {
      known.repeated += 1;
      return;
    }
    if (this.#window.size >= this.#kindsMax) {
      this.#options.meter.count("audit_refusals_dropped_total");
      return;
    }
    this.#window.set(kind, { first: refusal, repeated: 0 });
    this.#append([{ ...refusal, at: this.#options.clock.now() }]);
  }

  /** Writes down what was counted. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    this.#endWindow();
    await this.#appending;
  }

  #endWindow(): void {
    const at = this.#options.clock.now();
    const repeated = [...this.#window.values()].filter((entry) => entry.repeated > 0);
    this.#window.clear();
    this.#append(repeated.map((entry) => ({ ...entry.first, at, repeated: entry.repeated })));
  }

  /** One after the other: what is lost is said, and holds up no request. */
  #append(refusals: readonly Refusal[]): void {
    if (refusals.length === 0) return;
    const { metadata, log } = this.#options;
    this.#appending = this.#appending.then(async () => {
      try {
        await metadata.appendRefusals(refusals);
      } catch (error) {
        log.warn({ err: error, refusals: refusals.length }, "refusals were not recorded");
      }
    });
  }
}

function kindOf({ author, permission, bucket, code }: NewRefusal): string {
  const { kind, id, grantId } = author;
  return JSON.stringify([kind, id, grantId, permission, bucket, code]);
}
