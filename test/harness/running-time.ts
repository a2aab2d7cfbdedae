/**
 * Time in which this process runs. A machine that is busy takes a process off its CPU for seconds, and then all of
 * its timers are late at once: an answer that came late on the clock on the wall may have come at once. What must happen
 * "within 300 ms" in this same process is compared with this time instead.
 */
import { setTimeout as delay } from "node:timers/promises";

const stepMs = 10;

/** Resolves after so much of it: while the process stands still, at most one step goes by. */
export async function runningMs(ms: number): Promise<void> {
  for (let leftMs = ms; leftMs > 0; leftMs -= stepMs) await delay(stepMs);
}

/** How much of it an act takes, which may be less than on the clock on the wall. */
export async function runningMsOf(act: () => Promise<unknown>): Promise<number> {
  let ms = 0;
  const timer = setInterval(() => {
    ms += stepMs;
  }, stepMs);
  try {
    await act();
    return ms;
  } finally {
    clearInterval(timer);
  }
}
