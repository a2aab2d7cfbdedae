/** Sends signed requests of one upload, and judges what their refusals mean. */
import { isRomaError, RomaError } from "../errors.ts";
import { present } from "../present.ts";
import type { Group } from "./control.ts";
import { type Job, uploadPolicy } from "./job.ts";
import type { RequestName, SignedRequests } from "./signed-requests.ts";
import type { Piece } from "./source.ts";

// A storage that never answered is given up sooner than one that did.
const silentMax = 2;
// A refusal may be for age; a second one, of a fresh signature, is not.
const refusalsMax = 2;

/** The storage cannot be reached from here, or refuses what was signed; `cause` has the last failure. */
export class DirectFailed extends Error {}

export class SignedSender {
  readonly #job: Job;
  readonly #via: "storage" | "server";
  readonly #requests: SignedRequests;
  readonly #group: Group;
  #reached = false;

  constructor(job: Job, via: "storage" | "server", requests: SignedRequests, group: Group) {
    this.#job = job;
    this.#via = via;
    this.#requests = requests;
    this.#group = group;
  }

  /** Resolves with the entity tag, without quotes, if the platform can see it. */
  async send(
    name: RequestName,
    piece: Piece,
    onFailure: () => void = () => {},
  ): Promise<string | undefined> {
    const { caller, control, meter } = this.#job;
    const lane = meter.lane();
    const failures: Failures = { silent: 0, refused: 0 };
    const options = { policy: uploadPolicy(this.#job), group: this.#group };
    // What the storage said last, as opposed to who signs.
    let judged: unknown;
    try {
      return await control.attempt(options, async (signal) => {
        const request = await this.#requests.get(name, signal);
        try {
          const response = await caller.plain({
            method: request.method,
            path: request.url,
            headers: request.headers,
            body: piece.body,
            signal,
            onSent: lane.update,
          });
          response.discard();
          this.#reached = true;
          lane.keep(piece.body.length);
          return response.headers.etag?.replace(/^"|"$/g, "");
        } catch (error) {
          lane.update(0);
          if (!isRomaError(error)) throw error;
          if (!signal.aborted) onFailure();
          if (error.status === 401 || error.status === 403) this.#requests.forget(name, request);
          judged = this.#judge(error, failures);
          throw judged;
        }
      });
    } catch (error) {
      throw error === judged && this.#isOfStorage(error) ? failed(error) : error;
    }
  }

  #judge(error: RomaError, failures: Failures): Error {
    const { status } = error;
    if (status === null) {
      if (this.#job.control.online) failures.silent += 1;
      const unreachable = !this.#reached && failures.silent >= silentMax;
      return unreachable && this.#isOfStorage(error) ? failed(error) : error;
    }
    if (status === 401 || status === 403) {
      failures.refused += 1;
      return failures.refused < refusalsMax ? retryable(error) : error;
    }
    // Its upload has gone, whatever the storage calls it.
    if (status === 404) return new RomaError("upload_not_found", error.message, { status });
    if (error.problem !== null) return error;
    // A storage says with its XML what no code of ours says; trying again is cheap.
    return status === 501 ? error : retryable(error);
  }

  #isOfStorage(error: unknown): error is RomaError {
    if (this.#via !== "storage" || !isRomaError(error)) return false;
    return !["aborted", "source_failed", "upload_not_found"].includes(error.code);
  }
}

interface Failures {
  silent: number;
  refused: number;
}

function failed(cause: RomaError): DirectFailed {
  return new DirectFailed(cause.message, { cause });
}

function retryable(error: RomaError): RomaError {
  const { status, retryAfterMs, mayHaveHappened } = error;
  return new RomaError(error.code, error.message, {
    ...{ retryable: true, mayHaveHappened, cause: error },
    ...present({ status: status ?? undefined, retryAfterMs: retryAfterMs ?? undefined }),
  });
}
