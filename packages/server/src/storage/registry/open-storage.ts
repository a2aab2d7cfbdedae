// One storage that is open, and who uses it. It is closed when the last lease ends, or when the bound
// is reached: from then on what still runs on it fails, and nobody else waits for it.

import { setTimeout as wait } from "node:timers/promises";
import type { Log } from "../../core/ports/log.ts";
import type { StorageDriver } from "../../core/ports/storage-driver.ts";
import type { StorageLease, StorageUse } from "../../core/ports/storages.ts";

export class OpenStorage {
  readonly driver: StorageDriver;
  readonly #log: Log;
  /** What works on the storage by itself, and ends before it. */
  readonly #attendant: AsyncDisposable | undefined;
  #uploads = 0;
  #others = 0;
  readonly #watchers = new Set<() => void>();
  #closed: Promise<void> | undefined;

  constructor(
    driver: StorageDriver,
    options: { readonly log: Log; readonly attendant?: AsyncDisposable | undefined },
  ) {
    this.driver = driver;
    this.#log = options.log;
    this.#attendant = options.attendant;
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

  /** Whether no upload ran any more within the time. */
  uploadsEnded(msMax: number): Promise<boolean> {
    return this.#ended(() => this.#uploads === 0, msMax);
  }

  /** Waits for all leases, then closes the driver; each for `drainMsMax` at most. Idempotent. */
  close(drainMsMax: number): Promise<void> {
    this.#closed ??= this.#close(drainMsMax);
    return this.#closed;
  }

  async #close(drainMsMax: number): Promise<void> {
    const fields = { storageId: this.driver.id, drainMsMax };
    if (!(await this.#ended(() => this.#uploads + this.#others === 0, drainMsMax))) {
      const counts = { uploads: this.#uploads, others: this.#others };
      this.#log.warn({ ...fields, ...counts }, "a storage is closed while it is in use");
    }
    const closing = this.#dispose().catch((error: unknown) => {
      this.#log.warn({ ...fields, err: error }, "a storage did not close well");
    });
    if (!(await within(closing, drainMsMax))) {
      this.#log.warn(fields, "a storage does not end its calls: nobody waits for them any more");
    }
  }

  async #dispose(): Promise<void> {
    await this.#attendant?.[Symbol.asyncDispose]();
    await this.driver[Symbol.asyncDispose]();
  }

  async #ended(isSo: () => boolean, msMax: number): Promise<boolean> {
    if (isSo()) return true;
    const { promise, resolve } = Promise.withResolvers<void>();
    const watcher = (): void => {
      if (isSo()) resolve();
    };
    this.#watchers.add(watcher);
    try {
      return await within(promise, msMax);
    } finally {
      this.#watchers.delete(watcher);
    }
  }
}

async function within(running: Promise<void>, msMax: number): Promise<boolean> {
  const controller = new AbortController();
  const late = wait(msMax, false, { signal: controller.signal }).catch(() => false);
  try {
    return await Promise.race([running.then(() => true), late]);
  } finally {
    controller.abort();
  }
}
