/** Unfinished uploads in IndexedDB, shared by the pages of an origin. */
import { parseResumeRecord, type ResumeRecord, type ResumeStore } from "../upload/resume-store.ts";
import { browser, type Database, type DatabaseRequest, type ObjectStore } from "./globals.ts";

const storeName = "uploads";

/** Rejects where a page may not store anything; the SDK then goes on without remembering. */
export class DatabaseResumeStore implements ResumeStore {
  readonly #name: string;
  #database: Promise<Database> | undefined;

  constructor(name = "roma-sdk") {
    this.#name = name;
  }

  async get(key: string): Promise<ResumeRecord | undefined> {
    return parseResumeRecord(await this.#run("readonly", (store) => store.get(key)));
  }

  async set(key: string, record: ResumeRecord): Promise<void> {
    await this.#run("readwrite", (store) => store.put(record, key));
    if (Object.keys(record.crcs).length <= 1) await this.#removeExpired();
  }

  async delete(key: string): Promise<void> {
    await this.#run("readwrite", (store) => store.delete(key));
  }

  async #removeExpired(): Promise<void> {
    for (const key of await this.#run("readonly", (store) => store.getAllKeys())) {
      const record = await this.get(String(key));
      if (!(Date.parse(record?.expiresAt ?? "") > Date.now())) await this.delete(String(key));
    }
  }

  async #run<T>(
    mode: "readonly" | "readwrite",
    ask: (store: ObjectStore) => DatabaseRequest<T>,
  ): Promise<T> {
    this.#database ??= this.#open();
    const database = await this.#database;
    return await answer(ask(database.transaction(storeName, mode).objectStore(storeName)));
  }

  async #open(): Promise<Database> {
    if (browser.indexedDB === undefined) throw new Error("no IndexedDB here");
    const request = browser.indexedDB.open(this.#name, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(storeName);
    return await answer(request);
  }
}

function answer<T>(request: DatabaseRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
