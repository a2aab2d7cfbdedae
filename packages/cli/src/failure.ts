/** From failures to exit codes and advice: the table of docs/cli.md, complete by type. */
import { isRomaError, type RomaErrorCode } from "@roma/sdk/node";
import { CommanderError } from "commander";
import { printable } from "./text.ts";
import { UsageError } from "./usage-error.ts";

export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  denied: 3,
  notFound: 4,
  precondition: 5,
  unavailable: 6,
  interrupted: 130,
} as const;

interface Row {
  readonly exit: number;
  /** What to do next. */
  readonly advice?: string;
}

const { failed, usage, denied, notFound, precondition, unavailable, interrupted } = exitCodes;
const later = "try again later; the server is up, but has to refuse for now";

const rows: Record<RomaErrorCode, Row> = {
  invalid_request: { exit: failed },
  invalid_key: { exit: failed, advice: "choose another key: docs/keys.md has the rules" },
  unauthenticated: {
    exit: denied,
    advice: "check the key: `roma config show` tells where it comes from",
  },
  access_denied: {
    exit: denied,
    advice: "use a key whose policy allows this: `roma key show ID` prints a policy",
  },
  bucket_not_found: {
    exit: notFound,
    advice: "`roma ls` lists the buckets, `roma bucket create NAME` makes one",
  },
  object_not_found: { exit: notFound, advice: "`roma ls BUCKET/PREFIX` lists what is there" },
  upload_not_found: { exit: notFound },
  key_not_found: { exit: notFound, advice: "`roma key ls` lists the keys" },
  storage_not_found: { exit: notFound, advice: "`roma storage ls` lists the storages" },
  already_exists: { exit: precondition, advice: "choose another name, or change what is there" },
  not_empty: {
    exit: precondition,
    advice: "`roma rm -r BUCKET/ --all` deletes what a bucket holds",
  },
  invalid_part: { exit: failed },
  offset_mismatch: { exit: failed },
  too_large: { exit: failed, advice: "`roma bucket show BUCKET` prints the limits" },
  too_small: { exit: failed },
  content_type_refused: {
    exit: failed,
    advice: "`roma bucket show BUCKET` prints the types it takes",
  },
  object_retained: {
    exit: denied,
    advice:
      "nobody can, not even with the root key, until its retention ends or its hold is taken off",
  },
  delete_cap_reached: {
    exit: denied,
    advice:
      "is it meant? `roma bulk-delete plan` deletes more, `roma trash restore` brings it back",
  },
  precondition_failed: { exit: precondition },
  checksum_mismatch: {
    exit: failed,
    advice:
      "the bytes were changed on their way: do it again; if it recurs, look at what is between",
  },
  incomplete_body: { exit: failed, advice: "do it again" },
  data_damaged: {
    exit: failed,
    advice: "the stored bytes are damaged: tell the operator, with the request id",
  },
  range_unsatisfiable: { exit: failed },
  locked: { exit: unavailable, advice: "another writer holds it: try again later" },
  expired: { exit: denied, advice: "ask for a new one" },
  request_timeout: { exit: unavailable, advice: "the bytes came too slowly: try again" },
  rate_limited: { exit: unavailable, advice: later },
  overloaded: { exit: unavailable, advice: later },
  storage_full: { exit: unavailable, advice: "the operator has to make room" },
  quota_exceeded: { exit: failed, advice: "delete something, or have the quota raised" },
  plan_changed: { exit: precondition, advice: "plan it again, and look at what it counts" },
  environment_mismatch: {
    exit: precondition,
    advice: "is this the server that you mean? `roma environment show` tells its environment",
  },
  read_only: { exit: unavailable, advice: "the operator has to look: docs/environments.md" },
  unsupported: { exit: failed },
  unavailable: { exit: unavailable, advice: later },
  token_failed: { exit: failed },
  internal: { exit: failed, advice: "a defect of the server: its log has the request id" },
  connection_failed: {
    exit: unavailable,
    advice: "is the server running? `roma serve` starts one; `roma config show` has the address",
  },
  timeout: { exit: unavailable, advice: "the server or the network does not move: try again" },
  aborted: { exit: interrupted },
  source_failed: { exit: failed },
  bad_answer: {
    exit: failed,
    advice: "check the address: `roma config show` tells where it comes from",
  },
};

/** The exit code for a failure. */
export function exitCodeOf(error: unknown): number {
  if (isRomaError(error)) return rows[error.code].exit;
  if (error instanceof UsageError) return usage;
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : usage;
  return failed;
}

/** What to print for a failure: the message, then what to do next. */
export function describeFailure(error: unknown): string {
  const message = printable(error instanceof Error ? error.message : String(error));
  if (!isRomaError(error)) return message;
  const request = error.requestId === null ? "" : `, request ${printable(error.requestId)}`;
  const happened = error.mayHaveHappened && error.code !== "aborted";
  const lost = happened ? "\n  its answer was lost: it may have taken effect" : "";
  // What will be refused again is nothing to wait for.
  const { advice } = error.code === "unavailable" && !error.retryable ? {} : rows[error.code];
  return `${message} (${error.code}${request})${lost}${advice === undefined ? "" : `\n  ${advice}`}`;
}

/** Failures of single items in a command that goes on; the command's exit code sums them up. */
export class Failures {
  readonly #exitCodes = new Set<number>();
  #count = 0;

  add(error: unknown): void {
    this.#exitCodes.add(exitCodeOf(error));
    this.#count += 1;
  }

  get count(): number {
    return this.#count;
  }

  /** 0 without failures, the one code that all share, else 1. */
  get exitCode(): number {
    const [first, ...others] = this.#exitCodes;
    if (first === undefined) return exitCodes.ok;
    return others.length === 0 ? first : exitCodes.failed;
  }
}

const fatalCodes: ReadonlySet<RomaErrorCode> = new Set<RomaErrorCode>([
  "aborted",
  "unauthenticated",
  "bucket_not_found",
  "connection_failed",
  "environment_mismatch",
  "read_only",
]);

/** Whether every other item of the same command would fail in the same way. */
export function isFatal(error: unknown): boolean {
  return isRomaError(error) && fatalCodes.has(error.code);
}
