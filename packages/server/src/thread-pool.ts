/**
 * The process's thread pool, in which every file system call and every look-up of a host name runs. A
 * mount that hangs keeps the threads of its calls, so the pool must be larger than what one mount may
 * hold; Node's own has 4 threads. Its size is fixed by the first call that needs it.
 */
import { readdir, readFile } from "node:fs/promises";
import { presetVariable, processEnvironment } from "./config/index.ts";
import type { Log } from "./core/ports/log.ts";

/** Enough for three mounts that hang; each idle thread makes waking one a little dearer. */
const threadsWanted = 64;
/** What Node begins with where nobody says. */
const threadsDefault = 4;
/** Beyond so many calls at once, a local disk gets no faster. */
const mountCallsWanted = 16;

/**
 * Makes the pool large, unless `UV_THREADPOOL_SIZE` is set already. To be called before anything is
 * read, written or looked up; later it changes nothing, and `mountCallsMax` says so.
 */
export function widenThreadPool(): void {
  presetVariable("UV_THREADPOOL_SIZE", String(threadsWanted));
}

/**
 * How many calls one mount may hold at once: never more than half of the pool as it really is. Warns
 * where the pool is small.
 */
export async function mountCallsMax(log: Log): Promise<number> {
  const threads = await threadPoolSize();
  const callsMax = Math.max(1, Math.min(mountCallsWanted, Math.floor(threads / 2)));
  if (threads < threadsWanted) {
    const mountsMax = Math.floor((threads - 1) / callsMax);
    const message = `the thread pool has ${threads} threads, fewer than ${threadsWanted}: more than ${mountsMax} mounts that hang would stop everything`;
    const hint = "set UV_THREADPOOL_SIZE, before the start";
    log.warn({ threads, mountCallsMax: callsMax, hint }, message);
  }
  return callsMax;
}

/** Counted where the system shows threads by name; elsewhere what the environment says. */
export async function threadPoolSize(): Promise<number> {
  const counted = process.platform === "linux" ? await countThreads() : 0;
  if (counted > 0) return counted;
  const { UV_THREADPOOL_SIZE: given } = processEnvironment();
  if (given === undefined) return threadsDefault;
  const size = Number.parseInt(given, 10);
  // As libuv reads it.
  return Number.isNaN(size) || size === 0 ? 1 : Math.min(1024, Math.abs(size));
}

async function countThreads(): Promise<number> {
  const folder = "/proc/self/task";
  // The first of these calls starts all threads of the pool.
  const threads = await readdir(folder)
    .then(() => readdir(folder))
    .catch(() => []);
  const names = await Promise.all(
    threads.map((thread) => readFile(`${folder}/${thread}/comm`, "latin1").catch(() => "")),
  );
  return names.filter((name) => name.trim() === "libuv-worker").length;
}
