// The thread that computes digests: takes what its ring holds, one slot after the other, and never comes
// back to its event loop. It ends with the process.

import { strict as assert } from "node:assert";
import { parentPort, workerData } from "node:worker_threads";
import { digestNames, RunningDigests } from "../../core/digests/digest-set.ts";
import { type RingAnswer, RingEmptier, type Slot, steps } from "./digest-ring.ts";

assert(parentPort !== null, "runs in a worker thread");
const port = parentPort;
const running = new Map<number, RunningDigests>();

function answer(message: RingAnswer): void {
  port.postMessage(message);
}

function step({ bodyId, step, digests, bytes }: Slot): void {
  switch (step) {
    case steps.begin:
      running.set(
        bodyId,
        new RunningDigests(digestNames.filter((_, bit) => (digests & (1 << bit)) !== 0)),
      );
      return;
    case steps.update:
      running.get(bodyId)?.update(bytes);
      return;
    case steps.finish:
      answer({ kind: "digests", bodyId, digests: running.get(bodyId)?.finish() ?? {} });
      running.delete(bodyId);
      return;
    case steps.drop:
      running.delete(bodyId);
  }
}

const ring = new RingEmptier(workerData);
for (;;) {
  step(ring.take());
  if (ring.done()) answer({ kind: "room" });
}
