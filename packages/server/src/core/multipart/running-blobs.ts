/** Blobs that are being written here and that no row names yet: background work leaves them alone. */
export class RunningBlobs {
  readonly #startedAt = new Map<string, Date>();

  /** Until it is disposed. */
  begin(blobKey: string, now: Date): Disposable {
    this.#startedAt.set(blobKey, now);
    return { [Symbol.dispose]: () => void this.#startedAt.delete(blobKey) };
  }

  has(blobKey: string): boolean {
    return this.#startedAt.has(blobKey);
  }

  /** A Map keeps the order of insertion, which is the order of beginning. */
  oldestAt(): Date | undefined {
    return this.#startedAt.values().next().value;
  }
}
