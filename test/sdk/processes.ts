/** Starts the programs of these tests, and reads what they print line by line. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";
import { cleanUp } from "../harness/cleanup.ts";
import type { UploadLine, UploadTask } from "./upload-process.ts";

export interface Program {
  readonly process: ChildProcess;
  /** Lines as they come, parsed. */
  readonly lines: AsyncIterable<unknown>;
}

/** Ended after the test if it has not by then. */
export function startProgram(
  t: TestContext,
  file: string,
  args: readonly string[],
  nodeFlags: readonly string[] = [],
): Program {
  const child = spawn(process.execPath, [...nodeFlags, join(import.meta.dirname, file), ...args], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env },
  });
  cleanUp(t, async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGTERM");
    await ended;
  });
  const lines = createInterface({ input: child.stdout });
  return {
    process: child,
    lines: (async function* () {
      for await (const line of lines) yield JSON.parse(line) as unknown;
    })(),
  };
}

export interface Uploaded {
  readonly size: number;
  readonly crc64nvme: string;
  readonly heapBytes: number;
  readonly residentBytes: number;
  readonly notices: readonly string[];
}

/** Uploads in a process of its own; with `killAtBytes` it does not end, and the answer is undefined. */
export async function uploadInProcess(
  t: TestContext,
  task: UploadTask,
  { nodeFlags = [] as readonly string[] } = {},
): Promise<Uploaded | undefined> {
  const program = startProgram(t, "upload-process.ts", [JSON.stringify(task)], nodeFlags);
  const notices: string[] = [];
  let uploaded: Uploaded | undefined;
  for await (const value of program.lines) {
    const line = value as UploadLine;
    if ("notice" in line) notices.push(line.notice);
    else {
      const { heapBytes, residentBytes } = line;
      uploaded = { ...line.done, heapBytes, residentBytes, notices };
    }
  }
  if (program.process.exitCode === null && program.process.signalCode === null) {
    await once(program.process, "exit");
  }
  if (task.killAtBytes === undefined) assert.equal(program.process.exitCode, 0);
  else assert.equal(program.process.signalCode, "SIGKILL", "it was killed in time");
  return uploaded;
}
