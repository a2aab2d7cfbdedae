/**
 * How much room a file system has for bytes that are declared before they come: what was free at the last look, less
 * what running uploads have declared and that look has not seen yet. Once written and seen, bytes count as used.
 *
 * All in sums that only grow: of bytes written by uploads that have ended (what they declared and did not write is
 * given back at their end), and of bytes that a look has seen.
 */
import type { DeclaredWrite } from "../core/ports/storages.ts";

export class DiskRoom {
  /** As the kernel numbers the file system: several storages may be on one. */
  readonly device: number;
  readonly #running = new Set<DeclaredWrite>();
  #declaredBytes = 0;
  #endedBytes = 0;
  #seenBytes = 0;
  #freeBytes = Number.POSITIVE_INFINITY;

  constructor(device: number) {
    this.device = device;
  }

  /** Free at the last look, less what is declared and was not seen then. Less than 0 when something else took room. */
  get freeBytes(): number {
    return this.#freeBytes - (this.#declaredBytes + this.#endedBytes - this.#seenBytes);
  }

  /** Counts what is declared until it is disposed; once is enough. */
  reserve(write: DeclaredWrite): Disposable {
    this.#running.add(write);
    this.#declaredBytes += write.bytes;
    return {
      [Symbol.dispose]: () => {
        if (!this.#running.delete(write)) return;
        this.#declaredBytes -= write.bytes;
        this.#endedBytes += writtenBytes(write);
      },
    };
  }

  /** Before a look: what was written by now is in what it finds. To be given to `look`. */
  mark(): number {
    let mark = this.#endedBytes;
    for (const write of this.#running) mark += writtenBytes(write);
    return mark;
  }

  /** What a look has found that began at the mark. One that was overtaken by another changes nothing. */
  look(mark: number, freeBytes: number): void {
    if (mark < this.#seenBytes) return;
    this.#seenBytes = mark;
    this.#freeBytes = freeBytes;
  }
}

function writtenBytes(write: DeclaredWrite): number {
  return Math.min(write.bytes, write.writtenBytes());
}
