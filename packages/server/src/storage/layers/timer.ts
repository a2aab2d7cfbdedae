// Waiting as an argument, so that a test lets time pass by itself.

/** Calls `run` after so long, unless what it answers is called before. */
export type Timer = (ms: number, run: () => void) => () => void;

/** Does not keep the process alive. */
export const systemTimer: Timer = (ms, run) => {
  const timer = setTimeout(run, ms);
  timer.unref();
  return () => clearTimeout(timer);
};
