/** The progress line of a transfer, on a terminal's stderr alone; elsewhere nothing is written. */
import type { Terminal } from "./context.ts";
import { formatBytes, formatSeconds } from "./text.ts";

const redrawMs = 100;
// The rate is that of about the last ten seconds.
const rateSamplesMax = 100;

export interface TransferProgress {
  /** Takes the absolute count; it starts over when an attempt does. */
  update(bytes: number): void;
  /** So many of them, in all, were there already: they say nothing about the rate. */
  present(bytes: number): void;
  finish(): void;
}

export class Progress {
  readonly #stream: Terminal["stderr"] | undefined;
  readonly #startedAt = performance.now();
  readonly #samples: { readonly at: number; readonly bytes: number }[] = [];
  #timer: NodeJS.Timeout | undefined;
  #bytes = 0;
  #presentBytes = 0;
  #totalBytes = 0;
  #count = 0;
  #totalCount = 0;
  #totalKnown = false;
  #drawn = false;

  /** `shown` false counts without drawing. */
  constructor(stream: Terminal["stderr"], { shown }: { readonly shown: boolean }) {
    if (!shown || stream.isTTY !== true) return;
    this.#stream = stream;
    this.#timer = setInterval(() => this.#draw(), redrawMs).unref();
  }

  /** Whether totals are of any use. */
  get visible(): boolean {
    return this.#stream !== undefined;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Of `bytes`, those that were there already. */
  get presentBytes(): number {
    return this.#presentBytes;
  }

  get count(): number {
    return this.#count;
  }

  get seconds(): number {
    return (performance.now() - this.#startedAt) / 1000;
  }

  expect(bytes: number): void {
    this.#totalBytes += bytes;
    this.#totalCount += 1;
  }

  /** All that will come has been expected: from now on the time left is shown. */
  expectNoMore(): void {
    this.#totalKnown = true;
  }

  transfer(): TransferProgress {
    let last = 0;
    let present = 0;
    return {
      update: (bytes) => {
        this.#bytes += bytes - last;
        last = bytes;
      },
      present: (bytes) => {
        this.#presentBytes += bytes - present;
        present = bytes;
      },
      finish: () => {
        this.#count += 1;
      },
    };
  }

  /** Takes the line away, so that another can be printed; it comes back by itself. */
  clear(): void {
    if (this.#drawn) this.#stream?.write("\r\x1b[K");
    this.#drawn = false;
  }

  end(): void {
    clearInterval(this.#timer);
    this.clear();
  }

  #draw(): void {
    const now = performance.now();
    const moved = this.#bytes - this.#presentBytes;
    this.#samples.push({ at: now, bytes: moved });
    if (this.#samples.length > rateSamplesMax) this.#samples.shift();
    const [first] = this.#samples;
    const seconds = first === undefined ? 0 : (now - first.at) / 1000;
    const rate = first === undefined || seconds === 0 ? 0 : (moved - first.bytes) / seconds;
    const line = progressLine({
      bytes: this.#bytes,
      totalBytes: this.#totalKnown ? this.#totalBytes : undefined,
      count: this.#count,
      totalCount: this.#totalCount,
      rate: Math.max(0, rate),
    });
    // A terminal that does not know its width says 0.
    const columns = this.#stream?.columns || 80;
    this.#stream?.write(`\r\x1b[K${line.slice(0, columns - 1)}`);
    this.#drawn = true;
  }
}

export interface ProgressState {
  readonly bytes: number;
  /** `undefined` while it is not known. */
  readonly totalBytes: number | undefined;
  readonly count: number;
  readonly totalCount: number;
  /** Bytes per second. */
  readonly rate: number;
}

/** `[######----]  60 %  6.00 MiB of 10.0 MiB  2.00 MiB/s  0:02 left  1/3`. */
export function progressLine({
  bytes,
  totalBytes,
  count,
  totalCount,
  rate,
}: ProgressState): string {
  const speed = `${formatBytes(rate)}/s`;
  const files = totalCount > 1 ? `  ${count}/${totalCount}` : "";
  if (totalBytes === undefined || totalBytes === 0) {
    return `${formatBytes(bytes)}  ${speed}${files}`;
  }
  const share = Math.min(1, bytes / totalBytes);
  const filled = Math.floor(share * 20);
  const bar = `[${"#".repeat(filled)}${"-".repeat(20 - filled)}]`;
  const percent = `${Math.floor(share * 100)} %`.padStart(5);
  const left = rate > 0 ? `  ${formatSeconds((totalBytes - bytes) / rate)} left` : "";
  const sizes = `${formatBytes(bytes)} of ${formatBytes(totalBytes)}`;
  return `${bar} ${percent}  ${sizes}  ${speed}${left}${files}`;
}
