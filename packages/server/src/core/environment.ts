/**
 * Which environment this server's data is of, and whether the server may change it. The label lives in the
 * data: in the metadata store, and in the mark of each storage. The configuration may say it too; where two of
 * them disagree, somebody has connected what does not belong together, and nothing is changed: the server
 * reads, and says why.
 *
 * Data without a label takes the configuration's, once every storage that opened was found not to contradict
 * (`settle`). From then on a storage that says another label is refused when it is opened.
 */
import { environmentPattern } from "@roma/contract";
import { OperationalError } from "./errors.ts";
import type { Log } from "./ports/log.ts";
import type { MetadataStore } from "./ports/metadata-store.ts";

/** Where the metadata store keeps the label. */
export const environmentSetting = "environment";

type Settings = Pick<MetadataStore, "getSetting" | "putSetting">;

export interface EnvironmentOptions {
  readonly settings: Settings;
  /** As the server is configured; left out: the data's label holds, if there is one. */
  readonly configured?: string | undefined;
  readonly log: Log;
}

/** What a request says, and what it is about. */
export interface MeantEnvironment {
  /** As the client said it; undefined: it did not. */
  readonly stated: string | undefined;
  /** Of the bucket, where that has one of its own. */
  readonly ofBucket: string | undefined;
  /** Whether the request would change anything. */
  readonly changes: boolean;
}

export class DataEnvironment {
  readonly #settings: Settings;
  readonly #log: Log;
  /** In the metadata store. */
  #kept: string | undefined;
  /** What all have to say: the store's, else the configuration's. */
  readonly #expected: string | undefined;
  readonly #disagreements: string[] = [];
  #isSettled = false;

  private constructor(options: EnvironmentOptions, kept: string | undefined) {
    this.#settings = options.settings;
    this.#log = options.log;
    this.#kept = kept;
    this.#expected = kept ?? options.configured;
    if (kept !== undefined && options.configured !== undefined && options.configured !== kept) {
      this.#disagreements.push(`the configuration says ${options.configured}`);
    }
  }

  static async read(options: EnvironmentOptions): Promise<DataEnvironment> {
    const kept = await options.settings.getSetting(environmentSetting);
    return new DataEnvironment(options, kept);
  }

  /** Undefined: the data has none. */
  get label(): string | undefined {
    return this.#kept;
  }

  /** Why nothing may be changed, in words for people; undefined: everything may. */
  get readOnly(): string | undefined {
    if (this.#disagreements.length === 0) return undefined;
    const ofData =
      this.#kept === undefined ? "has no environment" : `is of the environment ${this.#kept}`;
    const found = this.#disagreements.join(", ");
    return `the server's data ${ofData}, but ${found}; if that is meant, stop the server and run: roma environment set LABEL`;
  }

  /** Whether storages may be written to. */
  mayWrite(): boolean {
    return this.#disagreements.length === 0;
  }

  /** For the mark of a storage that says nothing; undefined: it is left as it is. */
  get labelForMarks(): string | undefined {
    return this.#isSettled && this.mayWrite() ? this.#kept : undefined;
  }

  /**
   * Takes note of what the mark of a storage says. While the server starts, another label makes it read-only;
   * later `environment_mismatch`: the storage is not opened.
   */
  admitMark(storageId: string, found: string | undefined): void {
    if (found === undefined || found === this.#expected) return;
    if (!this.#isSettled) {
      this.#disagreements.push(`the storage ${storageId} says ${found}`);
      return;
    }
    const ours = this.#expected === undefined ? "has none" : `is of ${this.#expected}`;
    const message = `the storage is of the environment ${found}, and the server's data ${ours}`;
    throw new OperationalError("environment_mismatch", message, {
      context: { storageId, environment: found },
    });
  }

  /** Once the storages are open: the data takes the configuration's label, or the server is read-only. */
  async settle(): Promise<void> {
    this.#isSettled = true;
    const reason = this.readOnly;
    if (reason !== undefined) {
      this.#log.error({ environment: this.#kept }, `started read-only: ${reason}`);
      return;
    }
    if (this.#expected === undefined || this.#kept !== undefined) return;
    await this.#settings.putSetting(environmentSetting, this.#expected);
    this.#kept = this.#expected;
    this.#log.info({ environment: this.#kept }, "the data took the configuration's environment");
  }

  /** `read_only`, with the reason. */
  assertWritable(): void {
    const reason = this.#isSettled ? this.readOnly : undefined;
    if (reason === undefined) return;
    throw new OperationalError("read_only", `nothing is changed: ${reason}`, {
      retryable: false,
      context: this.#kept === undefined ? {} : { environment: this.#kept },
    });
  }

  /** `environment_mismatch` if the request means another; `read_only` if it would change anything. */
  assertMeant({ stated, ofBucket, changes }: MeantEnvironment): void {
    const label = ofBucket ?? this.#kept;
    if (stated !== undefined && stated !== label) throw mismatch(stated, label);
    if (changes) this.assertWritable();
  }
}

/** `invalid_request` for what is no label. */
export function parseEnvironment(text: string, field: string): string {
  if (environmentPattern.test(text)) return text;
  const rule = "is not 1 to 32 lower-case letters, digits and hyphens that begin with a letter";
  throw new OperationalError("invalid_request", `${field} ${rule}`, { context: { field } });
}

function mismatch(stated: string, label: string | undefined): OperationalError {
  const ours = label === undefined ? "this has no environment" : `this is ${label}`;
  return new OperationalError("environment_mismatch", `the request means ${stated}, and ${ours}`, {
    context: { stated, ...(label === undefined ? {} : { environment: label }) },
  });
}
