// Open storages that nobody can lease any more: settings that were replaced, and storages that were
// retired. Who leased one before may go on with it for `leaseMsMax`; when the server stops, all of them
// have `drainMsMax` more.

import type { OpenStorage } from "./open-storage.ts";

export interface ClosingBounds {
  readonly leaseMsMax: number;
  readonly drainMsMax: number;
}

export class ClosingStorages {
  readonly #bounds: ClosingBounds;
  readonly #storages = new Set<OpenStorage>();
  /** All that were ever closed and did not end their calls. */
  readonly #hung = new Set<OpenStorage>();

  constructor(bounds: ClosingBounds) {
    this.#bounds = bounds;
  }

  /**
   * Those of the id that are still open, or leased: an upload under which its storage was closed may
   * have its bytes there all the same, and commit them.
   */
  of(id: string): readonly OpenStorage[] {
    return [...this.#storages].filter(({ driver }) => driver.id === id);
  }

  add(open: OpenStorage): void {
    const { leaseMsMax, drainMsMax } = this.#bounds;
    this.#storages.add(open);
    void open
      .close({ leaseMsMax, closeMsMax: drainMsMax })
      .then(() => this.#note(open))
      .then(() => open.leasesEnded())
      .then(() => this.#storages.delete(open));
  }

  /** For the server's stop: resolves when all are closed. */
  async drain(): Promise<void> {
    const { drainMsMax } = this.#bounds;
    const bounds = { leaseMsMax: drainMsMax, closeMsMax: drainMsMax };
    await Promise.all(
      [...this.#storages].map(async (open) => {
        await open.close(bounds);
        this.#note(open);
      }),
    );
  }

  /** Whether a call on one of them is under way still. */
  get isHung(): boolean {
    return [...this.#hung].some((open) => open.isHung);
  }

  #note(open: OpenStorage): void {
    if (open.isHung) this.#hung.add(open);
  }
}
