// The other workers of the server, each of which has these storages open and sees a snapshot of its own. A
// change is made in one worker at a time, and is over when all the others have read the records again. Where it
// depends on what runs on a storage, it is held everywhere first: nothing new is begun on it, and each says what
// runs. A worker that does not answer stops the change before anything is written down.

import { OperationalError } from "../../core/errors.ts";
import type { Json, Siblings } from "../../core/ports/siblings.ts";
import type { StorageInfo } from "../../core/ports/storages.ts";

export interface ElsewhereOptions {
  readonly siblings: Siblings;
  /** Reads the records again; whatever was held is free. */
  readonly reload: () => Promise<void>;
  /** From now on, for so long, nothing is begun on the storage; answers how many uploads run on it. */
  readonly hold: (id: string, ms: number) => number;
  /** Whether this worker changes something itself. */
  readonly isChanging: () => boolean;
  /** Uploads, and other uses. */
  readonly running: (id: string) => readonly [number, number];
}

export interface Held {
  /** On the storage, in all other workers. */
  readonly uploadsRunning: number;
  /** `unavailable` when it is nearly over: by the time that something is written down it might be. */
  assertHeld(): void;
}

const answerMsMax = 5_000;
/** A storage is opened and tried, which may take its deadlines. */
const reloadMsMax = 60_000;
const holdMs = 60_000;
const heldMsMax = 30_000;

export class Elsewhere {
  readonly #siblings: Siblings;

  constructor(options: ElsewhereOptions) {
    const { siblings, reload, hold, isChanging, running } = options;
    this.#siblings = siblings;
    siblings.on("storages.changing", () => (isChanging() ? "busy" : "free"));
    siblings.on("storages.hold", (id) => hold(String(id), holdMs));
    siblings.on("storages.running", (ids) =>
      Array.isArray(ids) ? ids.map((id) => running(String(id))) : [],
    );
    siblings.on("storages.changed", async () => {
      await reload();
      return true;
    });
  }

  /** `locked` while another worker changes something; `unavailable` while one starts or is silent. */
  async begin(): Promise<void> {
    const answers = await this.#ask("storages.changing", null, answerMsMax);
    if (answers.includes("busy")) {
      throw new OperationalError("locked", "the storages are being changed; try again in a moment");
    }
    if (answers.some((answer) => answer !== "free")) throw starting();
  }

  async hold(id: string): Promise<Held> {
    const since = performance.now();
    const answers = await this.#ask("storages.hold", id, answerMsMax);
    if (answers.some((answer) => typeof answer !== "number")) throw starting();
    return {
      uploadsRunning: sum(answers.map(Number)),
      assertHeld: () => {
        if (performance.now() - since < heldMsMax) return;
        throw unavailable("the change took too long; try it again");
      },
    };
  }

  /** Resolves when all have read the records again. A worker that starts reads them by itself. */
  async published(): Promise<void> {
    await this.#ask("storages.changed", null, reloadMsMax);
  }

  /** With what runs elsewhere. */
  async added(infos: readonly StorageInfo[]): Promise<readonly StorageInfo[]> {
    const ids = infos.map(({ id }) => id);
    const answers = await this.#ask("storages.running", ids, answerMsMax);
    const counts = (index: number, which: number): number =>
      sum(answers.map((answer) => numberAt(answer, index, which)));
    return infos.map((info, index) => ({
      ...info,
      uploadsRunning: info.uploadsRunning + counts(index, 0),
      othersRunning: info.othersRunning + counts(index, 1),
    }));
  }

  async #ask(topic: string, question: Json, msMax: number): Promise<readonly Json[]> {
    try {
      const answers = await this.#siblings.ask(topic, question, { msMax });
      return answers.map(({ answer }) => answer);
    } catch (cause) {
      const message =
        topic === "storages.changed"
          ? "the change is written down, and a worker has not said that it holds there; try it again"
          : "a worker of the server does not answer; try again in a moment";
      throw unavailable(message, cause);
    }
  }
}

function starting(): OperationalError {
  return unavailable("a worker of the server is starting; try again in a moment");
}

const ofWorkers = { of: "workers" };

function unavailable(message: string, cause?: unknown): OperationalError {
  return new OperationalError("unavailable", message, { context: ofWorkers, cause });
}

/** It is about the server's own workers, not about a storage. */
export function isOfWorkers({ context }: OperationalError): boolean {
  return context.of === ofWorkers.of;
}

function numberAt(answer: Json, index: number, which: number): number {
  const pair = Array.isArray(answer) ? answer[index] : undefined;
  return Array.isArray(pair) ? Number(pair[which] ?? 0) : 0;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
