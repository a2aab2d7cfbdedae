// Memory that two threads share, by which one gives bytes to the other: slots in a ring, filled by one
// thread and emptied in that order by the other. A slot is one side's or the other's at a time: `filled`
// and `emptied` only ever count up, and who moves one has finished with the slot before.

import { strict as assert } from "node:assert";

export const slotBytes = 64 * 1024;
const slotCount = 64;
const headInts = 3;

/** Indexes of the shared counters; they wrap around as 32-bit integers do. */
const filled = 0;
const emptied = 1;
/** 1: whoever fills waits for room, and wants to be told. */
const wanted = 2;
const counterCount = 4;

/** What is to be done with a body's bytes. */
export const steps = { begin: 0, update: 1, finish: 2, drop: 3 } as const;
export type Step = (typeof steps)[keyof typeof steps];

export interface Slot {
  readonly bodyId: number;
  readonly step: Step;
  /** Of `begin`: a set of digests, by bits. */
  readonly digests: number;
  /** Of `update`: valid until the next slot is taken. */
  readonly bytes: Uint8Array;
}

/** Answers of the thread that empties. */
export type RingAnswer =
  | { readonly kind: "room" }
  | { readonly kind: "digests"; readonly bodyId: number; readonly digests: object };

export function newRing(): SharedArrayBuffer {
  return new SharedArrayBuffer((counterCount + slotCount * headInts) * 4 + slotCount * slotBytes);
}

class Ring {
  protected readonly counters: Int32Array;
  protected readonly heads: Int32Array;
  protected readonly bytes: Uint8Array;

  constructor(memory: SharedArrayBuffer) {
    this.counters = new Int32Array(memory, 0, counterCount);
    this.heads = new Int32Array(memory, counterCount * 4, slotCount * headInts);
    this.bytes = new Uint8Array(memory, (counterCount + slotCount * headInts) * 4);
  }

  protected get full(): number {
    return (Atomics.load(this.counters, filled) - Atomics.load(this.counters, emptied)) | 0;
  }
}

/** The side of the thread that has the bytes. */
export class RingFiller extends Ring {
  /** False if there is no room: then ask for it, and try again when told. */
  fill(bodyId: number, step: Step, { digests = 0, bytes }: Partial<Slot> = {}): boolean {
    if (this.full === slotCount) return false;
    const number = this.counters[filled] ?? 0;
    const at = number & (slotCount - 1);
    const length = bytes?.length ?? 0;
    assert(length <= slotBytes, `${length} bytes for a slot`);
    this.heads[at * headInts] = bodyId;
    this.heads[at * headInts + 1] = step;
    this.heads[at * headInts + 2] = bytes === undefined ? digests : length;
    if (bytes !== undefined) this.bytes.set(bytes, at * slotBytes);
    Atomics.store(this.counters, filled, (number + 1) | 0);
    Atomics.notify(this.counters, filled);
    return true;
  }

  /** Asks to be told when half of the ring is empty; false if it is by now. */
  wantRoom(): boolean {
    Atomics.store(this.counters, wanted, 1);
    return this.full > slotCount / 2 || Atomics.exchange(this.counters, wanted, 0) === 0;
  }
}

/** The side of the thread that takes them. */
export class RingEmptier extends Ring {
  /** Waits for the next slot, holding its thread. `done` says that the slot may be filled again. */
  take(): Slot {
    const number = this.counters[emptied] ?? 0;
    while (Atomics.load(this.counters, filled) === number) {
      Atomics.wait(this.counters, filled, number);
    }
    const at = number & (slotCount - 1);
    const value = this.heads[at * headInts + 2] ?? 0;
    const step = (this.heads[at * headInts + 1] ?? 0) as Step;
    const length = step === steps.update ? value : 0;
    return {
      bodyId: this.heads[at * headInts] ?? 0,
      step,
      digests: value,
      bytes: this.bytes.subarray(at * slotBytes, at * slotBytes + length),
    };
  }

  /** True if the other side waits for room, and there is enough now: it is to be told, once. */
  done(): boolean {
    const number = this.counters[emptied] ?? 0;
    Atomics.store(this.counters, emptied, (number + 1) | 0);
    if (Atomics.load(this.counters, wanted) === 0 || this.full > slotCount / 2) return false;
    return Atomics.exchange(this.counters, wanted, 0) === 1;
  }
}
