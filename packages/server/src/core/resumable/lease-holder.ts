/**
 * This process among those that write uploads of one store, and what the others may conclude of it.
 *
 * A lease that ran out says nothing about a worker that lives: its last write may still be on its way into a
 * file. So between workers time frees no lease. Who wants an upload that another worker has asks that one,
 * which stops its request as it would for a newcomer of its own, and gives its word when nothing of it writes
 * any more. Of a worker that is dead nothing writes. Who lives and is silent keeps what it has.
 */
import { OperationalError } from "../errors.ts";
import type { Json, Siblings } from "../ports/siblings.ts";
import type { UploadRecord } from "../ports/upload-store.ts";

/** `append` stops only a silent one; `settle` and `cancel` any. */
export type TakeMode = "append" | "settle" | "cancel";

/** `stopping`: whoever writes it was asked to, and stores what came. `writing`: he goes on. */
export type LeaseState = "ended" | "stopping" | "writing";

export interface LeaseKeeper {
  /** Asks whoever writes it here to stop, as far as the mode allows, and looks a moment later. */
  yield(id: string, mode: TakeMode): Promise<LeaseState>;
  /** Cancelled by another: whoever writes it here stops. */
  cancelled(id: string): void;
}

const yieldTopic = "uploads.yield";
const cancelTopic = "uploads.cancelled";
const askMsMax = 3_000;

export class LeaseHolder {
  readonly name: string;
  readonly #siblings: Siblings | undefined;
  readonly #keepers: LeaseKeeper[] = [];

  private constructor(name: string, siblings?: Siblings) {
    this.name = name;
    this.#siblings = siblings;
    siblings?.on(yieldTopic, (question) => this.#yield(question));
    siblings?.on(cancelTopic, (id) => {
      if (typeof id === "string") for (const keeper of this.#keepers) keeper.cancelled(id);
      return null;
    });
  }

  /**
   * Of a process that may have the store beside others of which it knows nothing: their leases run out by
   * time. One that alone has the store keeps its name over restarts, and finds what it wrote before a crash
   * free at once.
   */
  static alone(name: string): LeaseHolder {
    return new LeaseHolder(name);
  }

  /** Of a worker; once for each `siblings`. */
  static among(siblings: Siblings): LeaseHolder {
    return new LeaseHolder(siblings.self, siblings);
  }

  /** Whether a lease ends by the word of its holder alone, and never by time. */
  get isByWord(): boolean {
    return this.#siblings !== undefined;
  }

  keep(keeper: LeaseKeeper): void {
    this.#keepers.push(keeper);
  }

  /**
   * Whether anything writes the upload as it stands there; its holder is asked to stop. `unavailable` when the
   * holder lives and says nothing.
   */
  async ask({ id, holder }: UploadRecord, mode: TakeMode, asker: LeaseKeeper): Promise<LeaseState> {
    if (holder === null) return "ended";
    if (holder === this.name) return await this.#everyKeeper(id, mode, asker);
    const options = { msMax: askMsMax, of: holder };
    let answers: Awaited<ReturnType<Siblings["ask"]>>;
    try {
      answers = (await this.#siblings?.ask(yieldTopic, { id, mode }, options)) ?? [];
    } catch (cause) {
      const message = "the worker that writes this upload does not answer; try again in a moment";
      throw new OperationalError("unavailable", message, { retryable: true, cause });
    }
    const [said] = answers;
    // Nobody of that name lives.
    if (said === undefined) return "ended";
    return said.answer === "ended" || said.answer === "stopping" ? said.answer : "writing";
  }

  /** Tells the others that nobody can commit anything of it any more. */
  cancelled(id: string): void {
    this.#siblings?.tell(cancelTopic, id);
  }

  async #yield(question: Json): Promise<Json> {
    const { id, mode } = question as { readonly id?: Json; readonly mode?: Json };
    if (typeof id !== "string" || !isMode(mode)) return "writing";
    return await this.#everyKeeper(id, mode);
  }

  async #everyKeeper(id: string, mode: TakeMode, but?: LeaseKeeper): Promise<LeaseState> {
    const keepers = this.#keepers.filter((keeper) => keeper !== but);
    const states = await Promise.all(keepers.map((keeper) => keeper.yield(id, mode)));
    if (states.includes("writing")) return "writing";
    return states.includes("stopping") ? "stopping" : "ended";
  }
}

function isMode(value: Json | undefined): value is TakeMode {
  return value === "append" || value === "settle" || value === "cancel";
}
