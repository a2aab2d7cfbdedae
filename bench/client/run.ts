// How is the load generator started? As a process of its own for each measurement, so that neither
// the servers nor the program that compares them share an event loop with it.

import { spawn } from "node:child_process";
import { join } from "node:path";
import type { Task, TaskResult } from "./tasks.ts";

export interface RunOptions {
  /** What the command is given to, such as `taskset -c 1`; empty for none. */
  readonly prefix: readonly string[];
}

/** Rejects with what the client printed when it failed. */
export async function runClient(task: Task, { prefix }: RunOptions): Promise<TaskResult> {
  const main = join(import.meta.dirname, "main.ts");
  const [command = process.execPath, ...args] = [
    ...prefix,
    process.execPath,
    main,
    JSON.stringify(task),
  ];
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.once("error", reject).once("close", resolve);
  const code = await promise;
  if (code !== 0) throw new Error(`the client of ${task.kind} ended with code ${code}`);
  // Our own program printed it.
  return JSON.parse(output) as TaskResult;
}
