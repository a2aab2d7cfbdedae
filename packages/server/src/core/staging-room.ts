/**
 * How much may wait for credentials that come last: uploads at once, of one sender and of all, their bytes together,
 * the time of each.
 */
import { OperationalError } from "./errors.ts";
import type { Body } from "./ports/storage-driver.ts";

export interface StagingLimits {
  readonly stagedMax: number;
  /** Of one sender. */
  readonly stagedPerAddressMax: number;
  readonly stagedBytesMax: number;
  readonly stagedMsMax: number;
}

/** One upload's. Disposing it gives its room back. */
export interface StagingSlot extends Disposable {
  /** Aborted with `request_timeout` when the upload takes too long. */
  readonly signal: AbortSignal;
  /** The same chunks, counted; `overloaded` at the byte for which there is no room. */
  counted(body: Body): Body;
  /** All bytes are there. */
  stopClock(): void;
}

export class StagingRoom {
  readonly #limits: StagingLimits;
  #count = 0;
  readonly #bySender = new Map<string, number>();
  #bytes = 0;

  constructor(limits: StagingLimits) {
    this.#limits = limits;
  }

  /** `overloaded` when too many are there, or too many are this sender's. */
  enter(sender: string): StagingSlot {
    const { stagedMax, stagedPerAddressMax, stagedMsMax } = this.#limits;
    const ofSender = this.#bySender.get(sender) ?? 0;
    if (ofSender >= stagedPerAddressMax) {
      const message = `${stagedPerAddressMax} from one address wait for their credentials already`;
      throw overloaded(message, { stagedPerAddressMax });
    }
    if (this.#count >= stagedMax) {
      throw overloaded(`${stagedMax} uploads wait for their credentials already`, { stagedMax });
    }
    this.#count += 1;
    this.#bySender.set(sender, ofSender + 1);
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(tooLate(stagedMsMax)), stagedMsMax);
    let ownBytes = 0;
    let isOpen = true;
    return {
      signal: late.signal,
      counted: (body) =>
        this.#counted(body, (bytes) => {
          ownBytes += bytes;
        }),
      stopClock: () => clearTimeout(timer),
      [Symbol.dispose]: () => {
        if (!isOpen) return;
        isOpen = false;
        clearTimeout(timer);
        this.#count -= 1;
        this.#leave(sender);
        this.#bytes -= ownBytes;
      },
    };
  }

  #leave(sender: string): void {
    const left = (this.#bySender.get(sender) ?? 1) - 1;
    if (left === 0) this.#bySender.delete(sender);
    else this.#bySender.set(sender, left);
  }

  async *#counted(body: Body, take: (bytes: number) => void): Body {
    const { stagedBytesMax } = this.#limits;
    for await (const chunk of body) {
      this.#bytes += chunk.length;
      take(chunk.length);
      if (this.#bytes > stagedBytesMax) {
        throw overloaded("too many bytes wait for their credentials already", { stagedBytesMax });
      }
      yield chunk;
    }
  }
}

function overloaded(message: string, context: Readonly<Record<string, number>>): OperationalError {
  return new OperationalError("overloaded", message, { context });
}

function tooLate(stagedMsMax: number): OperationalError {
  return new OperationalError(
    "request_timeout",
    `the credentials did not come within ${stagedMsMax} ms`,
    { context: { stagedMsMax } },
  );
}
