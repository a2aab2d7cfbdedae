// Turns the operating system's errors into the codes that callers can act on. It is the only place
// that reads an errno; messages never hold a path of the server.

import { OperationalError } from "../../core/errors.ts";

const full = "the storage is full";

/** What the driver was doing, for the message and the log. */
export type Step = "open" | "write" | "sync" | "publish" | "read" | "list" | "delete" | "check";

const table: Readonly<Record<string, (step: Step, cause: unknown) => OperationalError>> = {
  ENOSPC: (step, cause) => fail("storage_full", full, step, cause),
  EDQUOT: (step, cause) => fail("storage_full", "the quota of the storage is used up", step, cause),
  EFBIG: (step, cause) => fail("too_large", "larger than the storage can hold", step, cause),
  EACCES: (step, cause) => fail("unavailable", "the storage refuses access", step, cause),
  EPERM: (step, cause) => fail("unavailable", "the storage refuses access", step, cause),
  EROFS: (step, cause) => fail("unavailable", "the storage is mounted read-only", step, cause),
  ENOENT: (step, cause) => fail("object_not_found", "no such blob", step, cause),
  ENOTDIR: (step, cause) => fail("object_not_found", "no such blob", step, cause),
  ELOOP: (step, cause) => fail("object_not_found", "no such blob", step, cause),
  EEXIST: (step, cause) => fail("already_exists", "the key is taken", step, cause),
  ENAMETOOLONG: (step, cause) => fail("invalid_key", "the key is too long here", step, cause),
  EMFILE: (step, cause) => fail("overloaded", "too many open files", step, cause),
  ENFILE: (step, cause) => fail("overloaded", "too many open files", step, cause),
  ENOMEM: (step, cause) => fail("overloaded", "no memory for the call", step, cause),
};

function fail(
  code:
    | "storage_full"
    | "too_large"
    | "unavailable"
    | "object_not_found"
    | "already_exists"
    | "invalid_key"
    | "overloaded",
  message: string,
  step: Step,
  cause: unknown,
): OperationalError {
  return new OperationalError(code, message, { cause, context: { step } });
}

/** The errno's name; empty for anything else. */
export function errnoOf(error: unknown): string {
  if (!(error instanceof Error) || !("code" in error)) return "";
  return typeof error.code === "string" ? error.code : "";
}

/** An operational error for whatever a call failed with; errors that are none of the system's pass. */
export function classify(error: unknown, step: Step): unknown {
  if (error instanceof OperationalError) return error;
  const errno = errnoOf(error);
  if (errno === "") return error;
  const known = table[errno];
  if (known !== undefined) return known(step, error);
  return new OperationalError("unavailable", `the storage failed (${errno})`, {
    cause: error,
    context: { step, errno },
  });
}

/** Awaits a call and classifies its failure. */
export async function during<T>(step: Step, running: Promise<T>): Promise<T> {
  try {
    return await running;
  } catch (error) {
    throw classify(error, step);
  }
}

/** For a failure that is already being reported by another error. */
export function ignore(): void {}
