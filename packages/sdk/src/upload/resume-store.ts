/**
 * What is remembered of unfinished uploads, so that another page or process can go on with them: never
 * a secret, and nothing that the server is not asked about again.
 */

/** One unfinished upload. */
export interface ResumeRecord {
  readonly uploadId: string;
  /** When the server gives it up, as it said last; RFC 3339. */
  readonly expiresAt: string;
  readonly partBytes: number;
  /** CRC-64/NVME of the parts that are there, by number. */
  readonly crcs: Readonly<Record<string, string>>;
}

/** Where records are kept. A failure of it costs the resuming, never the upload. */
export interface ResumeStore {
  /** `key` is long, and names the source, the server, the bucket and the object's key. */
  get(key: string): Promise<ResumeRecord | undefined>;
  set(key: string, record: ResumeRecord): Promise<void>;
  delete(key: string): Promise<void>;
}

/** Reads a record back from where it was kept; `undefined` for what is none. */
export function parseResumeRecord(value: unknown): ResumeRecord | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { uploadId, expiresAt, partBytes, crcs }: { [name: string]: unknown } = { ...value };
  if (typeof uploadId !== "string" || typeof expiresAt !== "string") return undefined;
  if (typeof partBytes !== "number" || typeof crcs !== "object") return undefined;
  const known = Object.entries(crcs ?? {}).filter(([, crc]) => /^[0-9a-f]{16}$/.test(String(crc)));
  return { uploadId, expiresAt, partBytes, crcs: Object.fromEntries(known) };
}

/** The record of one upload, written in order, and never in its way. */
export class Resumption {
  readonly #store: ResumeStore | undefined;
  readonly #key: string;
  #writing: Promise<unknown> = Promise.resolve();

  constructor(store: ResumeStore | undefined, key: string) {
    this.#store = store;
    this.#key = key;
  }

  get remembers(): boolean {
    return this.#store !== undefined;
  }

  async find(): Promise<ResumeRecord | undefined> {
    try {
      return await this.#store?.get(this.#key);
    } catch {
      return undefined;
    }
  }

  save(record: ResumeRecord): void {
    this.#then((store) => store.set(this.#key, record));
  }

  forget(): void {
    this.#then((store) => store.delete(this.#key));
  }

  /** Resolves when all that was asked for has been written. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  #then(write: (store: ResumeStore) => Promise<void>): void {
    const store = this.#store;
    if (store === undefined) return;
    this.#writing = this.#writing.then(() => write(store)).catch(() => {});
  }
}
