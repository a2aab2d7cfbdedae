/** Destroying very many objects, in steps. */
import type { BulkDeleteJson } from "@roma/contract";
import { namedPath } from "./address.ts";
import type { Caller } from "./caller.ts";
import { callJson } from "./calls.ts";
import { fieldsOf, list, number, oneOf, string, strings } from "./fields.ts";
import type { SignalOption } from "./objects.ts";

const states = ["planned", "confirmed", "running", "stopped", "done", "undoing", "undone"] as const;

export class BulkDeletes {
  readonly #caller: Caller;

  constructor(caller: Caller) {
    this.#caller = caller;
  }

  /** Counts what would go, and changes nothing. */
  plan(bucket: string, prefix: string, { signal }: SignalOption = {}): Promise<BulkDeleteJson> {
    return this.#post("", { bucket, prefix }, signal);
  }

  /** `plan_changed` if other objects are there than were planned. */
  confirm(
    { id, bucket, digest }: Pick<BulkDeleteJson, "id" | "bucket" | "digest">,
    environment: string | null,
    { signal }: SignalOption = {},
  ): Promise<BulkDeleteJson> {
    return this.#post(`/${id}/confirm`, { bucket, environment, digest }, signal);
  }

  get(id: string, { signal }: SignalOption = {}): Promise<BulkDeleteJson> {
    const path = namedPath("/v1/bulk-deletes", id);
    return callJson(this.#caller, { method: "GET", path, parse: parseBulkDelete, signal });
  }

  /** The latest first. */
  list({ signal }: SignalOption = {}): Promise<readonly BulkDeleteJson[]> {
    const parse = (value: unknown) => list(fieldsOf(value, "list"), "bulkDeletes", parseBulkDelete);
    return callJson(this.#caller, { method: "GET", path: "/v1/bulk-deletes", parse, signal });
  }

  stop(id: string, { signal }: SignalOption = {}): Promise<BulkDeleteJson> {
    return this.#post(`/${id}/stop`, undefined, signal);
  }

  /** Brings back what it deleted. */
  undo(id: string, { signal }: SignalOption = {}): Promise<BulkDeleteJson> {
    return this.#post(`/${id}/undo`, undefined, signal);
  }

  #post(path: string, value: object | undefined, signal: AbortSignal | undefined) {
    const request = { method: "POST", path: `/v1/bulk-deletes${path}`, parse: parseBulkDelete };
    return callJson(this.#caller, { ...request, value, signal, idempotent: false });
  }
}

function parseBulkDelete(value: unknown): BulkDeleteJson {
  const fields = fieldsOf(value, "bulk delete");
  return {
    id: string(fields, "id"),
    state: oneOf(fields, "state", states),
    bucket: string(fields, "bucket"),
    prefix: string(fields, "prefix"),
    plannedAt: string(fields, "plannedAt"),
    expiresAt: string(fields, "expiresAt"),
    objects: number(fields, "objects"),
    bytes: number(fields, "bytes"),
    digest: string(fields, "digest"),
    samples: strings(fields, "samples"),
    plannedBy: string(fields, "plannedBy"),
    confirmedBy: strings(fields, "confirmedBy"),
    deleted: number(fields, "deleted"),
    deletedBytes: number(fields, "deletedBytes"),
    retained: number(fields, "retained"),
    restored: number(fields, "restored"),
    skipped: number(fields, "skipped"),
  };
}
