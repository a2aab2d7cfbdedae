/**
 * A body whose digests its sender tells only after it, as trailers do: computed as the bytes pass, and
 * compared when the last has passed. A wrong one fails the body instead of ending it, so that whoever stores
 * it publishes nothing.
 */
import { firstDifference, RunningDigests } from "./digests/digest-set.ts";
import { OperationalError } from "./errors.ts";
import type { Body, DigestName, Digests } from "./ports/storage-driver.ts";

/** What the client says one request's body is. */
export interface BodyChecks {
  /** Computed as the bytes pass. */
  readonly names: readonly DigestName[];
  /**
   * Asked for when the body has ended, so that trailers may tell. A mismatch is `checksum_mismatch`; what
   * it throws fails the request. Either way nothing of the body counts.
   */
  readonly expected: () => Digests;
}

export class CheckedBody {
  /** Read it instead of the one that was given. */
  readonly body: Body;
  #digests: Digests = {};
  readonly #names: readonly DigestName[];

  constructor(body: Body, checks: BodyChecks | undefined) {
    this.#names = checks?.names ?? [];
    this.body = checks === undefined ? body : this.#checked(body, checks);
  }

  /** Those that were computed; none before the body has ended. */
  get digests(): Digests {
    return this.#digests;
  }

  /** Without those that are computed here already. */
  unknownOf(names: readonly DigestName[]): readonly DigestName[] {
    return names.filter((name) => !this.#names.includes(name));
  }

  async *#checked(body: Body, { names, expected }: BodyChecks): Body {
    const running = new RunningDigests(names);
    for await (const chunk of body) {
      running.update(chunk);
      yield chunk;
    }
    const digests = running.finish();
    const different = firstDifference(expected(), digests);
    if (different !== undefined) {
      throw new OperationalError("checksum_mismatch", `the ${different} of the body differs`, {
        context: { digest: different },
      });
    }
    this.#digests = digests;
  }
}
