/**
 * One server at a time has a store open: one process, or several that are its workers. The lock is on a small
 * database file beside the store's, held as long as the store is open. The kernel drops it with the process,
 * however that ends, so no lock outlives its holder and none needs to be broken.
 *
 * Whoever finds nobody there holds it alone (an exclusive transaction), and so does at the start what
 * must have no witness: migrations, and removing what a crash left. A worker of a server then shares it
 * (`share`): from there on the others come in, each with a read transaction. They know each other by their
 * server's name, which stands in a file beside the lock and is written by who holds it alone. A process
 * that has no name to show never shares, and nobody shares with it.
 *
 * It is a POSIX record lock underneath: a process that opens and closes the lock file by other means
 * than SQLite drops its own lock. Nothing else here touches that file.
 */
import { open } from "node:fs/promises";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { OperationalError } from "../../core/errors.ts";
import { isBusy } from "./errors.ts";

/** For another worker's start, which holds the lock alone. */
const startMsMax = 120_000;
/** Who starts has written its server's name after so long. */
const nameMsMax = 1_000;
const lookMs = 25;

export interface StoreLock extends Disposable {
  /** No other process had the store open when this one took it, nor will one before `share`. */
  readonly isAlone: boolean;
  /** From now on other workers of this server may open the store. `locked` if another server was faster. */
  share(): Promise<void>;
  /** From now on it ends with the process: something of it may be under way when the store is closed. */
  keep(): void;
}

/** Held until the process is gone. */
const kept = new Set<DatabaseSync>();

/**
 * `locked` if another server has it, or another store of this process. `server` names the server that
 * this process is a worker of; left out: it is all of it. Dispose to let go.
 */
export async function takeLock(path: string, server?: string): Promise<StoreLock> {
  const since = performance.now();
  for (;;) {
    const lock = await tryLock(path, server);
    if (lock !== undefined) return lock;
    const waited = performance.now() - since;
    const isOurs = server !== undefined && (await readName(path)) === server;
    if (server === undefined || waited > (isOurs ? startMsMax : nameMsMax)) throw locked(path);
    await new Promise((resolve) => setTimeout(resolve, lookMs * (1 + Math.random())));
  }
}

/** `undefined` while somebody holds it alone. */
async function tryLock(path: string, server: string | undefined): Promise<StoreLock | undefined> {
  using opening = new DisposableStack();
  const database = new DatabaseSync(`${path}.lock`, { timeout: 0 });
  opening.defer(() => database.close());
  const isAlone = unlessBusy(() => {
    database.exec("pragma journal_mode = delete");
    database.exec("begin exclusive");
  });
  if (isAlone) {
    await writeName(path, server);
  } else {
    if (server === undefined || !readLock(database)) return undefined;
    await assertName(path, server);
  }
  const held = opening.move();
  return {
    isAlone,
    share: async () => {
      if (server === undefined || !isAlone) return;
      database.exec("commit");
      // For a moment nobody has it: a worker of this server may take it alone, and finds nothing running.
      const since = performance.now();
      while (!readLock(database)) {
        if (performance.now() - since > startMsMax) throw locked(path);
        await new Promise((resolve) => setTimeout(resolve, lookMs));
      }
      await assertName(path, server);
    },
    keep: () => void kept.add(database),
    [Symbol.dispose]: () => {
      if (!kept.has(database)) held.dispose();
    },
  };
}

/** A read transaction, which stays open. */
function readLock(database: DatabaseSync): boolean {
  return unlessBusy(() => {
    if (!database.isTransaction) database.exec("begin");
    database.prepare("select count(*) from sqlite_schema").get();
  });
}

function unlessBusy(run: () => void): boolean {
  try {
    run();
    return true;
  } catch (error) {
    if (!isBusy(error)) throw error;
    return false;
  }
}

async function assertName(path: string, server: string): Promise<void> {
  if ((await readName(path)) !== server) throw locked(path);
}

/** In place: who has it alone is nobody's witness, and a crash leaves a name that is nobody's. */
async function writeName(path: string, server = ""): Promise<void> {
  const name = namePath(path);
  const known = await readName(path);
  if ((known ?? "") === server) return;
  await using file = await open(name, known === undefined ? "w" : "r+", 0o600);
  await file.write(server, 0);
  await file.truncate(server.length);
}

async function readName(path: string): Promise<string | undefined> {
  try {
    await using file = await open(namePath(path), "r");
    return (await file.readFile("utf8")).trim();
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

function namePath(path: string): string {
  return `${path}.server`;
}

function locked(path: string): OperationalError {
  return new OperationalError(
    "locked",
    `another Roma uses the folder ${dirname(path)}: stop it, or give this one another folder`,
  );
}
