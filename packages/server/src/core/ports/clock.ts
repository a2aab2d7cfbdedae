/** Time as an argument, so that a test can move it. */
export interface Clock {
  now(): Date;
  /** Milliseconds that never go backwards; for durations. */
  monotonicMs(): number;
}

export const systemClock: Clock = {
  now: () => new Date(),
  monotonicMs: () => performance.now(),
};
