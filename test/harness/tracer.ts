/**
 * strace attached to a running process: to kill it at its n-th call of a kind, or to see in which
 * order its calls happen. Attached after the server listens, so that only the scenario is counted.
 */
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";

export interface Tracer {
  /** Detaches and waits until the tracer has ended; the process goes on, if it still runs. */
  detach(): Promise<void>;
}

export interface TraceOptions {
  /** A process (with all its threads) or a single thread. */
  readonly id: number;
  readonly threads: "all" | "one";
  readonly syscalls: readonly string[];
  /** Where the lines go; left out: nowhere. */
  readonly output?: string;
  /** Has the n-th call of each thread fail with this error, and makes it not. */
  readonly failAt?: {
    readonly syscalls: readonly string[];
    readonly error: string;
    readonly count: number;
  };
  /** SIGKILL as the thread enters its n-th call of this name, which is then not made. */
  readonly killAt?: { readonly syscall: string; readonly count: number };
}

export async function attachTracer(options: TraceOptions): Promise<Tracer> {
  const { id, threads, syscalls, output = "/dev/null", killAt, failAt } = options;
  const inject =
    killAt === undefined
      ? []
      : ["-e", `inject=${killAt.syscall}:signal=SIGKILL:when=${killAt.count}`];
  const child = spawn(
    "strace",
    [
      ...(threads === "all" ? ["-f"] : []),
      ...["-y", "-s", "32", "-o", output, "-e", `trace=${syscalls.join(",")}`],
      ...(failAt === undefined
        ? []
        : ["-e", `inject=${failAt.syscalls.join(",")}:error=${failAt.error}:when=${failAt.count}`]),
      ...["-e", "signal=none", ...inject, "-p", String(id)],
    ],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  let text = "";
  await new Promise<void>((resolve, reject) => {
    child.once("error", reject);
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
      if (/attached/.test(text)) resolve();
    });
    void ended.then(() => reject(new Error(`strace did not attach: ${text}`)));
  });
  return {
    detach: async () => {
      child.kill("SIGINT");
      await ended;
    },
  };
}

export interface Step {
  readonly syscall: string;
  /** The text between the parentheses, with paths of descriptors. */
  readonly arguments: string;
  /** Places in the trace: a step is before another if its end is before the other's begin. */
  readonly begin: number;
  readonly end: number;
}

/** The calls of a trace, in the order of their begin. A call that never returned has no end. */
export async function readSteps(file: string): Promise<Step[]> {
  const steps: (Step & { end: number })[] = [];
  const open = new Map<string, Step & { end: number }>();
  const lines = (await readFile(file, "latin1")).split("\n");
  for (const [index, line] of lines.entries()) {
    const match = /^(?:(\d+) +)?(?:(\w+)\((.*)|<\.\.\. (\w+) resumed>(.*))$/.exec(line);
    if (match === null) continue;
    const [, thread = "", syscall, rest = "", resumed] = match;
    if (resumed !== undefined) {
      const step = open.get(thread);
      if (step !== undefined) step.end = index;
      open.delete(thread);
      continue;
    }
    if (syscall === undefined) continue;
    const unfinished = rest.includes("<unfinished ...>");
    const step = {
      syscall,
      arguments: rest,
      begin: index,
      end: unfinished ? Number.POSITIVE_INFINITY : index,
    };
    if (unfinished) open.set(thread, step);
    steps.push(step);
  }
  return steps;
}
