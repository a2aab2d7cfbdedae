/**
 * A thread with one connection: the writer's or the reader's. It takes the calls that wait, runs
 * them as one group in one transaction, and answers them together after the commit.
 *
 * Writer: each call has a savepoint of its own, so that a refused one leaves nothing and harms no
 * other. Nothing is answered before the commit is durable; if that fails, the whole group does.
 * Reader: the transaction begins after the last call of the group has arrived, so each sees every
 * write that was answered before it was made; a page of a list sees one state.
 */
import { strict as assert } from "node:assert";
import type { DatabaseSync } from "node:sqlite";
import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { sqliteEngine } from "../migrations/engine.ts";
import { assertMigrated, migrate } from "../migrations/migrate.ts";
import { closeHead, forgetHead, headBefore, openHead, resetHead } from "../queries/audit.ts";
import { markEffect } from "../queries/idempotency.ts";
import { reads, writes } from "../queries/operations.ts";
import type { Database } from "../schema.ts";
import { beginCall } from "./call-places.ts";
import { busyMsMax, type Connection, openReader, openWriter } from "./connection.ts";
import { classify, isBusy } from "./errors.ts";
import type {
  Call,
  CallAnswer,
  ErrorMessage,
  FromWorker,
  ToWorker,
  WorkerData,
} from "./protocol.ts";

/** Calls of one transaction at most: bounds how long the first of them waits for the last. */
const groupCallsMax = { writer: 256, reader: 64 } as const;

/**
 * Records that the calls of one transaction may name or answer, so that a group of large ones fits
 * in memory: at 4 KiB for a record, the largest that is legal, 16 MiB. One call may be larger.
 */
const groupRecordsMax = 4096;

/** Between two looks whether another process still writes. */
const lookMs = 1;

type Operation = (db: Database, ...args: unknown[]) => Promise<unknown>;

assert(parentPort !== null, "runs in a worker thread");
const port = parentPort;
const { role, path, isAlone, isShared, places }: WorkerData = workerData;
const callStates = new Int32Array(places);
const operations = new Map(
  // The store's types have paired names and arguments before they came here.
  Object.entries(role === "writer" ? writes : reads) as readonly (readonly [string, Operation])[],
);
const queue: Call[] = [];
let connection: Connection | undefined;
let isRunning = false;
let isClosing = false;

port.on("message", (message: ToWorker) => {
  take(message);
  void run();
});

function take(message: ToWorker): void {
  if (message.kind === "calls") queue.push(...message.calls);
  else if (message.kind === "close") isClosing = true;
  else void open();
}

async function open(): Promise<void> {
  try {
    const opened = role === "writer" ? openWriter(path) : openReader(path);
    connection = opened;
    if (role === "writer") {
      const options = { engine: sqliteEngine, now: () => new Date() };
      if (isAlone) await migrate(opened.db, options);
      else await assertMigrated(opened.db);
      opened.raw.exec("pragma busy_timeout = 0");
    }
    post({ kind: "open" });
  } catch (error) {
    post({ kind: "refused", error: errorMessage(error) });
  }
}

/** Runs groups until nothing waits. An error that escapes ends the thread, which is reported. */
async function run(): Promise<void> {
  if (isRunning) return;
  isRunning = true;
  while (connection !== undefined && queue.length > 0) {
    const group = queue.splice(0, groupLength());
    const startedAt = performance.now();
    const answers = await runGroup(connection, group);
    post({ kind: "answers", answers, seconds: (performance.now() - startedAt) / 1000 });
    // What arrived meanwhile makes the next group, without a turn of the event loop.
    for (;;) {
      const waiting = receiveMessageOnPort(port);
      if (waiting === undefined) break;
      take(waiting.message);
    }
  }
  isRunning = false;
  if (isClosing) close();
}

/** How many of the waiting calls run together: at least one. */
function groupLength(): number {
  let records = 0;
  let length = 0;
  for (const [, , args] of queue) {
    for (const argument of args) records += recordsOf(argument);
    if (length === groupCallsMax[role] || (length > 0 && records > groupRecordsMax)) break;
    length += 1;
  }
  return length;
}

/** The records that an argument names, or asks for with a limit. */
function recordsOf(argument: unknown): number {
  if (Array.isArray(argument)) return argument.length;
  const hasLimit = typeof argument === "object" && argument !== null && "limit" in argument;
  return hasLimit && typeof argument.limit === "number" ? argument.limit : 0;
}

async function runGroup(
  { raw, db }: Connection,
  group: readonly Call[],
): Promise<readonly CallAnswer[]> {
  try {
    if (role === "writer") beginWriting(raw);
    else raw.exec("begin");
    openHead(db);
    const answers: CallAnswer[] = [];
    for (const call of group) answers.push(await runCall({ raw, db }, call));
    await closeHead(db);
    raw.exec("commit");
    return answers;
  } catch (error) {
    forgetHead(db);
    if (raw.isTransaction) raw.exec("rollback");
    const failure = errorMessage(error);
    return group.map(([id]) => [id, failure, undefined]);
  }
}

const sleeper = new Int32Array(new SharedArrayBuffer(4));

/**
 * SQLite itself looks again after longer and longer, up to 100 ms, and so misses most of the short moments at which
 * a worker that writes without a pause has let go.
 */
function beginWriting(raw: DatabaseSync): void {
  const since = performance.now();
  for (;;) {
    try {
      raw.exec("begin immediate");
      return;
    } catch (error) {
      if (!isBusy(error) || performance.now() - since > busyMsMax) throw error;
      Atomics.wait(sleeper, 0, 0, lookMs);
    }
  }
}

/** Throws only what fails the whole group. */
async function runCall(
  { raw, db }: Connection,
  [id, method, args, place, mark]: Call,
): Promise<CallAnswer> {
  // Inside of the transaction, however long that waited for its lock: nobody hears of this answer.
  if (place !== undefined && !beginCall(callStates, place)) return [id, null, undefined];
  const operation = operations.get(method);
  assert(operation !== undefined, `${role} has no ${method}`);
  const head = headBefore(db);
  if (role === "writer") raw.exec("savepoint call");
  try {
    const value = await operation(db, ...args);
    if (mark !== undefined) await markEffect(db, mark, { method, value });
    if (role === "writer") raw.exec("release call");
    return [id, null, value];
  } catch (error) {
    // SQLite ends the transaction by itself after some errors, a full disk among them.
    if (!raw.isTransaction) throw error;
    if (role === "writer") raw.exec("rollback to call; release call");
    resetHead(db, head);
    return [id, errorMessage(error), undefined];
  }
}

function close(): void {
  if (connection !== undefined) {
    if (role === "writer") emptyLog(connection);
    connection.raw.close();
  }
  port.close();
}

/** Moves the write-ahead log into the database, so that the folder at rest is one file. */
function emptyLog({ raw }: Connection): void {
  try {
    // To truncate it, all would have to wait for each other; the last one that closes does it in any case.
    raw.exec(`pragma wal_checkpoint(${isShared ? "passive" : "truncate"})`);
  } catch (error) {
    // Nothing is lost: the log is replayed at the next start.
    post({ kind: "log-kept", error: errorMessage(error) });
  }
}

function errorMessage(error: unknown): ErrorMessage {
  const { code, message, retryable, context, cause } = classify(error, path);
  const fields = { code, message, retryable, context };
  if (cause === undefined) return fields;
  return { ...fields, cause: (cause instanceof Error && cause.stack) || String(cause) };
}

function post(message: FromWorker): void {
  port.postMessage(message);
}
