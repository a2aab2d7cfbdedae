/**
 * What requests have in hand, in all workers: before something that no row needs is removed, everyone is asked. A
 * worker that does not answer may have it in hand: then nothing is removed (`unavailable`).
 */
import type { Json, Siblings } from "./ports/siblings.ts";
import type { Storages } from "./ports/storages.ts";

export interface BlobsInUseOptions {
  readonly siblings: Siblings;
  readonly storages: Pick<Storages, "get" | "ids">;
  /** Whether an upload that runs here is about to need the blob. */
  readonly isWriting: (blobKey: string) => boolean;
  /** Whether somebody here reads this blob in pieces, piece after piece. */
  readonly isReading: (blobKey: string) => boolean;
  /** When the oldest upload that runs here began: its blob's key is as old as that. */
  readonly oldestRunningAt: () => Date | undefined;
}

const askMsMax = 5_000;

type Kind = "written" | "read" | "left-overs";

export class BlobsInUse {
  readonly #options: BlobsInUseOptions;

  constructor(options: BlobsInUseOptions) {
    this.#options = options;
    const { siblings } = options;
    siblings.on("blobs.written", (keys) => this.#here("written", texts(keys)));
    siblings.on("blobs.read", (keys) => this.#here("read", texts(keys)));
    siblings.on("blobs.left-overs", (question) => {
      const [storageId = "", ...tokens] = texts(question);
      return this.#here("left-overs", tokens, storageId);
    });
    siblings.on("blobs.oldest", () => options.oldestRunningAt()?.getTime() ?? null);
  }

  /** Those of the keys that an upload is about to need. */
  written(blobKeys: readonly string[]): Promise<ReadonlySet<string>> {
    return this.#everywhere("written", blobKeys);
  }

  /** Those of the keys, of blobs in pieces, that are being read. */
  read(blobKeys: readonly string[]): Promise<ReadonlySet<string>> {
    return this.#everywhere("read", blobKeys);
  }

  /** Those of the storage's left-overs that a write has open. */
  leftOvers(storageId: string, tokens: readonly string[]): Promise<ReadonlySet<string>> {
    return this.#everywhere("left-overs", tokens, storageId);
  }

  /** When the oldest upload that runs began. */
  async oldestRunningAt(): Promise<Date | undefined> {
    const { siblings, oldestRunningAt } = this.#options;
    const answers = await siblings.ask("blobs.oldest", null, { msMax: askMsMax });
    const instants = answers.flatMap(({ answer }) => (typeof answer === "number" ? [answer] : []));
    const here = oldestRunningAt();
    const all = [...instants, ...(here === undefined ? [] : [here.getTime()])];
    return all.length === 0 ? undefined : new Date(Math.min(...all));
  }

  async #everywhere(
    kind: Kind,
    names: readonly string[],
    storageId?: string,
  ): Promise<ReadonlySet<string>> {
    if (names.length === 0) return new Set();
    const question = storageId === undefined ? names : [storageId, ...names];
    const options = { msMax: askMsMax };
    const answers = await this.#options.siblings.ask(`blobs.${kind}`, question, options);
    // After the others: a write that moved here meanwhile would be seen.
    const here = this.#here(kind, names, storageId);
    return new Set([...here, ...answers.flatMap(({ answer }) => texts(answer))]);
  }

  #here(kind: Kind, names: readonly string[], storageId = ""): readonly string[] {
    const { isWriting, isReading, storages } = this.#options;
    if (kind === "written") return names.filter(isWriting);
    if (kind === "read") return names.filter(isReading);
    if (!storages.ids().includes(storageId)) return [];
    const { leftOvers } = storages.get(storageId);
    return names.filter((token) => leftOvers?.isRunning(token) === true);
  }
}

function texts(value: Json): readonly string[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === "string") : [];
}
