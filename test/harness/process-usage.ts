/** What a process holds, as the kernel counts it: memory, descriptors, threads. */
import { readdir, readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

const sampleMs = 100;

export async function countDescriptors(pid: number): Promise<number> {
  return (await readdir(`/proc/${pid}/fd`)).length;
}

export async function countThreads(pid: number): Promise<number> {
  return (await readdir(`/proc/${pid}/task`)).length;
}

/** Resident bytes now. */
export async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "latin1");
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
  if (kibibytes === undefined) throw new Error(`process ${pid} has no VmRSS`);
  return Number(kibibytes) * 1024;
}

export interface MemoryWatch {
  /** Ends the watch; the most that was seen, and every sample. */
  stop(): Promise<{ readonly peakBytes: number; readonly samples: readonly number[] }>;
}

/** Samples resident memory ten times a second. */
export function watchMemory(pid: number): MemoryWatch {
  const samples: number[] = [];
  const controller = new AbortController();
  const run = async () => {
    while (!controller.signal.aborted) {
      samples.push(await residentBytes(pid));
      await delay(sampleMs, undefined, { signal: controller.signal }).catch(() => {});
    }
  };
  const running = run();
  // Where the process ends before the watch does, `stop` says so.
  running.catch(() => {});
  return {
    stop: async () => {
      controller.abort();
      await running;
      return { peakBytes: Math.max(...samples), samples };
    },
  };
}

/** Ids of a process's threads with their names. */
export async function listThreads(
  pid: number,
): Promise<readonly { readonly id: number; readonly name: string }[]> {
  const ids = (await readdir(`/proc/${pid}/task`)).map(Number);
  const threads = await Promise.all(
    ids.map(async (id) => {
      // One that has ended meanwhile has none.
      const name = await readFile(`/proc/${pid}/task/${id}/comm`, "latin1").catch(() => undefined);
      return name === undefined ? [] : [{ id, name: name.trim() }];
    }),
  );
  return threads.flat();
}

/**
 * Asks again and again until the answer is `true`; throws with the reason after `msMax`. That is for what hangs:
 * on a busy machine a process may stand still for seconds, and who need not wait waits no longer.
 */
export async function eventually(
  what: string,
  condition: () => boolean | Promise<boolean>,
  msMax = 60_000,
): Promise<void> {
  const until = performance.now() + msMax;
  while (!(await condition())) {
    if (performance.now() > until) throw new Error(`not within ${msMax} ms: ${what}`);
    await delay(25);
  }
}

/** The value of a metric without labels, or the sum over its labels. */
export async function readMetric(opsUrl: string, name: string): Promise<number> {
  return (await readMetrics(opsUrl, name)).reduce((sum, { value }) => sum + value, 0);
}

export interface LabelledValue {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** The values of a metric with their labels. */
export async function readMetrics(opsUrl: string, name: string): Promise<readonly LabelledValue[]> {
  const text = await (await fetch(`${opsUrl}/metrics`)).text();
  return text.split("\n").flatMap((line) => {
    const match = /^([a-z_0-9]+)(?:\{([^}]*)\})? (\S+)$/i.exec(line);
    if (match?.[1] !== name) return [];
    const pairs = [...(match[2] ?? "").matchAll(/(\w+)="([^"]*)"/g)];
    const labels = Object.fromEntries(pairs.map(([, label = "", value = ""]) => [label, value]));
    return [{ labels, value: Number(match[3]) }];
  });
}
