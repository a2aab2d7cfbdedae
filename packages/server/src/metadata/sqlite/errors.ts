/** What SQLite reports, as operational errors; classified once, here. */
import { statfsSync } from "node:fs";
import { dirname } from "node:path";
import { type ErrorCode, OperationalError } from "../../core/errors.ts";

// https://sqlite.org/rescode.html; an extended code carries its primary code in the low byte.
const primaryCodes: Readonly<Record<number, { readonly code: ErrorCode; readonly what: string }>> =
  {
    5: { code: "unavailable", what: "the metadata is locked by another process" },
    6: { code: "unavailable", what: "the metadata is locked" },
    7: { code: "unavailable", what: "the metadata store is out of memory" },
    8: { code: "unavailable", what: "the metadata is read-only" },
    10: { code: "unavailable", what: "the disk of the metadata failed" },
    11: { code: "internal", what: "the metadata is damaged" },
    13: { code: "storage_full", what: "the disk of the metadata is full" },
    14: { code: "unavailable", what: "the metadata cannot be opened" },
    26: { code: "internal", what: "the metadata file is not a database" },
  };

/** What may come of a full disk without saying so: a failed call, or a file that cannot be made. */
const fullDiskSuspects: ReadonlySet<number> = new Set([10, 14]);
/** The shared memory of the write-ahead log could not grow. */
const ioErrorShmSize = 4874;

/** The error as it leaves the store. What is not expected becomes `internal`, with its cause. */
export function classify(error: unknown, path: string): OperationalError {
  if (error instanceof OperationalError) return error;
  const errcode = sqliteErrorCode(error);
  if (errcode === undefined) {
    return new OperationalError("internal", "the metadata store failed", { cause: error });
  }
  const context = { sqliteCode: errcode };
  const full = errcode === ioErrorShmSize || (fullDiskSuspects.has(errcode & 0xff) && isFull(path));
  const { code, what } = primaryCodes[full ? 13 : errcode & 0xff] ?? {
    code: "internal",
    what: "the metadata store failed",
  };
  return new OperationalError(code, what, { context, cause: error });
}

/** Another connection has the lock that was needed. */
export function isBusy(error: unknown): boolean {
  return ((sqliteErrorCode(error) ?? 0) & 0xff) === 5;
}

/** The extended result code; `undefined` when it is not SQLite's error. */
function sqliteErrorCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !("errcode" in error)) return undefined;
  return typeof error.errcode === "number" ? error.errcode : undefined;
}

function isFull(path: string): boolean {
  try {
    const { bavail, ffree, files } = statfsSync(dirname(path));
    // Some file systems have no count of files.
    return bavail === 0 || (files > 0 && ffree === 0);
  } catch {
    // The folder is gone: whatever it is, it is not full.
    return false;
  }
}
