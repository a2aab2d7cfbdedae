/**
 * One process at a time has a store open. The lock is an exclusive transaction on a small database
 * file beside the store's, held as long as the store is open. The kernel drops it with the process,
 * however that ends, so no lock outlives its holder and none needs to be broken.
 *
 * It is a POSIX record lock underneath: a process that opens and closes the lock file by other means
 * than SQLite drops its own lock. Nothing else here touches that file.
 */

import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { OperationalError } from "../../core/errors.ts";

/** `locked` if another store, of this process or another, has it. Dispose to let go. */
export function takeLock(path: string): Disposable {
  const database = new DatabaseSync(`${path}.lock`, { timeout: 0 });
  try {
    database.exec("pragma journal_mode = delete");
    database.exec("begin exclusive");
  } catch (error) {
    database.close();
    if (!isBusy(error)) throw error;
    throw new OperationalError(
      "locked",
      `another Roma uses the folder ${dirname(path)}: stop it, or give this one another folder`,
      { cause: error },
    );
  }
  return { [Symbol.dispose]: () => database.close() };
}

function isBusy(error: unknown): boolean {
  return (
    error instanceof Error &&
    "errcode" in error &&
    typeof error.errcode === "number" &&
    (error.errcode & 0xff) === 5
  );
}
