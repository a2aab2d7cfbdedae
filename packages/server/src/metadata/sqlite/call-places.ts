/**
 * Who is first: the thread that begins a call, or the request that gives it up. Each call that may be given
 * up has a place in shared memory, taken with one atomic exchange by either side, so that a call that was
 * given up has no effect, and one that was begun is not said to have none.
 */

const free = 0;
const begun = 1;
const cancelled = 2;

export class CallPlaces {
  readonly shared: SharedArrayBuffer;
  readonly #states: Int32Array;
  readonly #free: number[];

  constructor(count: number) {
    this.shared = new SharedArrayBuffer(count * Int32Array.BYTES_PER_ELEMENT);
    this.#states = new Int32Array(this.shared);
    this.#free = Array.from({ length: count }, (_, index) => count - 1 - index);
  }

  /** `undefined` when all are taken. */
  take(): number | undefined {
    const place = this.#free.pop();
    if (place !== undefined) Atomics.store(this.#states, place, free);
    return place;
  }

  /** False if the thread was faster: the call has begun, and its answer is to be waited for. */
  cancel(place: number): boolean {
    return Atomics.compareExchange(this.#states, place, free, cancelled) === free;
  }

  /** After the thread's answer: it looks at the place no more. */
  giveBack(place: number): void {
    this.#free.push(place);
  }
}

/** In the thread, inside of the transaction: false if the call was given up, and must do nothing. */
export function beginCall(states: Int32Array, place: number): boolean {
  return Atomics.compareExchange(states, place, free, begun) === free;
}
