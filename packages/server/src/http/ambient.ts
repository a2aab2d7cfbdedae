/**
 * Which request the running code belongs to, without an argument: it follows promises and timers. For what
 * stands so far below that a signal does not reach it, as calls of the metadata store.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { Budget } from "../core/ports/budget.ts";

const ambient = new AsyncLocalStorage<Budget>();

/** All that comes of `run` spends this budget. */
export function withBudget(budget: Budget, run: () => void): void {
  ambient.run(budget, run);
}

/** Of the request that this code runs for; `undefined` outside of requests. */
export function currentBudget(): Budget | undefined {
  return ambient.getStore();
}
