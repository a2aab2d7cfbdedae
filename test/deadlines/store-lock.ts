/**
 * Another process that holds the write lock of a metadata store, as a backup or a stuck tool does. Run as a
 * program with the database's path; prints `locked`, and lets go at the end of its input.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { TestContext } from "node:test";
import { cleanUp } from "../harness/cleanup.ts";

export interface StoreLock {
  /** Resolves when the store can be written again. */
  release(): Promise<void>;
}

/** Resolves when the store of this data folder is locked. Let go at the end of the test at the latest. */
export async function lockStore(t: TestContext, data: string): Promise<StoreLock> {
  const child: ChildProcess = spawn(
    process.execPath,
    [import.meta.filename, join(data, "metadata.sqlite")],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
  const exited = once(child, "exit");
  const release = async (): Promise<void> => {
    child.stdin?.end();
    await exited;
  };
  cleanUp(t, release);
  const [text] = await Promise.race([once(child.stdout ?? process.stdin, "data"), exited]);
  if (!String(text).startsWith("locked")) throw new Error("the store could not be locked");
  return { release };
}

if (import.meta.main) {
  const database = new DatabaseSync(process.argv[2] ?? "", { timeout: 10_000 });
  database.exec("begin immediate");
  process.stdout.write("locked\n");
  process.stdin.on("end", () => {
    database.exec("rollback");
    database.close();
  });
  process.stdin.resume();
}
