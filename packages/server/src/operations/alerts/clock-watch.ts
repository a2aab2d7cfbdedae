/** Sees that the system's time was set: it and the clock that never goes back come apart. */
import type { Alerts } from "../../core/ports/alerts.ts";
import type { Clock } from "../../core/ports/clock.ts";

const intervalMsDefault = 5_000;
/** Slower corrections are what time services do all day. */
const jumpMsMin = 10_000;

/** Looks until it is disposed. */
export function watchClock({
  clock,
  alerts,
  intervalMs = intervalMsDefault,
}: {
  readonly clock: Clock;
  readonly alerts: Alerts;
  readonly intervalMs?: number;
}): Disposable {
  const offset = (): number => clock.now().getTime() - clock.monotonicMs();
  let known = offset();
  const look = (): void => {
    const jumpMs = Math.round(offset() - known);
    known += jumpMs;
    if (Math.abs(jumpMs) < jumpMsMin) return;
    const way = jumpMs > 0 ? "ahead" : "back";
    const seconds = Math.round(Math.abs(jumpMs) / 1000);
    alerts.raise(
      "clock_jumped",
      { seconds, way },
      `the system's time was set ${way} by ${seconds} s`,
    );
  };
  const timer = setInterval(look, intervalMs).unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
