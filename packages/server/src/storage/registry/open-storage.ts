// One storage that is open, and who uses it. Once it is to be closed, that is done when the last lease
// ends, or when the bound is reached: from then on what still runs on it fails, and nobody else waits
// for it.

import type { Log } from "../../core/ports/log.ts";
import type { StorageDriver } from "../../core/ports/storage-driver.ts";
import type { StorageLease, StorageUse } from "../../core/ports/storages.ts";
import type { StorageMark } from "../marker.ts";

export interface CloseBounds {
  /** For leases to end before the driver is closed under them. */
  readonly leaseMsMax: number;
  /** For the driver to close. */
  readonly closeMsMax: number;
}

export interface OpenStorageOptions {
  readonly log: Log;
  readonly mark: StorageMark;
  readonly attendant?: AsyncDisposable | undefined;
}

export class OpenStorage {
  readonly driver: StorageDriver;
  readonly #log: Log;
  /** What works on the storage by itself, and ends before it: when it is to be closed. */
  readonly #attendant: AsyncDisposable | undefined;
  readonly #mark: StorageMark;
  #environment: string | undefined;
  #isHung = false;
  #uploads = 0;
  #others = 0;
  readonly #watchers = new Set<() => void>();
  readonly #impatience = Promise.withResolvers<void>();
  #closed: Promise<void> | undefined;

  constructor(driver: StorageDriver, { log, mark, attendant }: OpenStorageOptions) {
    this.driver = driver;
    this.#log = log;
    this.#attendant = attendant;
    this.#mark = mark;
    this.#environment = mark.environment;
  }

  /** It was closed, and a call on it is under way all the same. */
  get isHung(): boolean {
    return this.#isHung;
  }

  /** Writes the environment into the storage's mark, unless it says so. */
  async label(environment: string): Promise<void> {
    if (this.#environment === environment) return;
    await this.#mark.label(environment);
    this.#environment = environment;
    this.#log.info({ storageId: this.driver.id, environment }, "a storage took its environment");
  }

  get uploadsRunning(): number {
    return this.#uploads;
  }

  get othersRunning(): number {
    return this.#others;
  }

  lease(use: StorageUse): StorageLease {
    const isUpload = use === "create" || use === "continue";
    if (isUpload) this.#uploads += 1;
    else this.#others += 1;
    let held = true;
    return {
      driver: this.driver,
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        if (isUpload) this.#uploads -= 1;
        else this.#others -= 1;
        for (const watcher of this.#watchers) watcher();
      },
    };
  }

  /** Resolves when no upload runs any more, or the time is over. */
  async uploadsEnded(msMax: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, msMax);
    await this.#when(() => this.#uploads === 0, promise);
    clearTimeout(timer);
  }

  /** Without a bound. */
  async leasesEnded(): Promise<void> {
    await this.#when(() => this.#uploads + this.#others === 0);
  }

  /**
   * Waits for all leases, then closes the driver, each within its bound. Asked again, it is closed
   * once: what the second call can do is shorten the wait for leases.
   */
  async close({ leaseMsMax, closeMsMax }: CloseBounds): Promise<void> {
    const timer = setTimeout(this.#impatience.resolve, leaseMsMax);
    try {
      this.#closed ??= this.#close(closeMsMax);
      await this.#closed;
    } finally {
      clearTimeout(timer);
    }
  }

  async #close(closeMsMax: number): Promise<void> {
    const storageId = this.driver.id;
    // What watched it watches what comes after it: two of them would measure the storage twice.
    const unattended = Promise.resolve(this.#attendant?.[Symbol.asyncDispose]());
    unattended.catch(() => undefined);
    if (!(await this.#when(() => this.#uploads + this.#others === 0, this.#impatience.promise))) {
      const counts = { uploads: this.#uploads, others: this.#others };
      this.#log.warn({ storageId, ...counts }, "a storage is closed while it is in use");
    }
    const closing = this.#dispose(unattended).catch((error: unknown) => {
      this.#log.warn({ storageId, err: error }, "a storage did not close well");
    });
    if (!(await within(closing, closeMsMax))) {
      this.#isHung = true;
      void closing.then(() => {
        this.#isHung = false;
      });
      const message = "a storage does not end its calls: nobody waits for them any more";
      this.#log.warn({ storageId, closeMsMax }, message);
    }
  }

  async #dispose(unattended: Promise<void>): Promise<void> {
    await unattended;
    await this.driver[Symbol.asyncDispose]();
  }

  /** Whether it came to be so before `givenUp` resolved. */
  async #when(isSo: () => boolean, givenUp?: Promise<void>): Promise<boolean> {
    if (isSo()) return true;
    const { promise, resolve } = Promise.withResolvers<void>();
    const watcher = (): void => {
      if (isSo()) resolve();
    };
    this.#watchers.add(watcher);
    try {
      const end = promise.then(() => true);
      return await (givenUp === undefined ? end : Promise.race([end, givenUp.then(() => false)]));
    } finally {
      this.#watchers.delete(watcher);
    }
  }
}

async function within(running: Promise<void>, msMax: number): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, msMax);
  try {
    return await Promise.race([running.then(() => true), late.then(() => false)]);
  } finally {
    clearTimeout(timer);
  }
}
