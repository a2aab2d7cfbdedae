/** The audit log: who changed what. Needs a key whose policy permits `audit:read` in all buckets. */
import type {
  AuditPageJson,
  AuditPointJson,
  AuditRecordJson,
  AuditVerificationJson,
} from "@roma/contract";
import { query } from "./address.ts";
import type { Caller } from "./caller.ts";
import { call, callJson } from "./calls.ts";
import { boolean, fieldsOf, list, nullable, number, string } from "./fields.ts";

export interface AuditFilter {
  /** At this instant or later. */
  readonly since?: Date;
  /** Before this instant. */
  readonly until?: Date;
  /** Of a copy or move also those whose source it is. */
  readonly bucket?: string;
  readonly key?: string;
  /** The id of an access key; also of the grants that it signed. */
  readonly actor?: string;
  readonly action?: string;
}

/** Of the whole chain. */
export interface AuditReport {
  readonly checked: number;
  /** Empty: the chain is whole. */
  readonly problems: readonly { readonly sequence: number; readonly problem: string }[];
  /** The last record that was forgotten by age. */
  readonly anchor: AuditPointJson;
  /** The newest record: kept elsewhere, it shows later whether an end was cut off. */
  readonly head: AuditPointJson;
}

export interface AuditQuery extends AuditFilter {
  readonly signal?: AbortSignal;
}

export class AuditLog {
  readonly #caller: Caller;

  constructor(caller: Caller) {
    this.#caller = caller;
  }

  /** One page; its cursor finds what follows, now or later. */
  page({
    signal,
    limit,
    cursor,
    ...filter
  }: AuditQuery & {
    readonly limit?: number;
    readonly cursor?: string;
  } = {}): Promise<AuditPageJson> {
    const path = `/v1/audit${query({ ...texts(filter), limit, cursor })}`;
    return callJson(this.#caller, { method: "GET", path, parse: parseAuditPage, signal });
  }

  /** Record by record, in the order in which it happened, to the end that there is then. */
  async *records(options: AuditQuery = {}): AsyncGenerator<AuditRecordJson, void, undefined> {
    let cursor: string | undefined;
    for (;;) {
      const page: AuditPageJson = await this.page({
        ...options,
        limit: 1000,
        ...(cursor === undefined ? {} : { cursor }),
      });
      yield* page.records;
      if (!page.hasMore) return;
      cursor = page.cursor;
    }
  }

  /** All that fits as NDJSON, as the server sends it: what `roma audit verify --file` reads. */
  async *export({
    signal,
    ...filter
  }: AuditQuery = {}): AsyncGenerator<Uint8Array, void, undefined> {
    const path = `/v1/audit${query({ ...texts(filter), format: "ndjson" })}`;
    const response = await call(this.#caller, { method: "GET", path, headers: {}, signal });
    try {
      yield* response.body;
    } finally {
      response.discard();
    }
  }

  /** Has the server verify the chain from its beginning to its end. */
  async verify({ signal }: Pick<AuditQuery, "signal"> = {}): Promise<AuditReport> {
    let checked = 0;
    const problems: AuditReport["problems"][number][] = [];
    let cursor: string | undefined;
    for (;;) {
      const path = `/v1/audit/verify${query({ cursor })}`;
      const found: AuditVerificationJson = await callJson(this.#caller, {
        method: "GET",
        path,
        parse: parseVerification,
        signal,
      });
      checked += found.checked;
      problems.push(...found.problems);
      const { anchor, head } = found;
      if (found.cursor === null) return { checked, problems, anchor, head };
      cursor = found.cursor;
    }
  }
}

function texts({ since, until, ...rest }: AuditFilter): Record<string, string | undefined> {
  return { since: since?.toISOString(), until: until?.toISOString(), ...rest };
}

function parseAuditPage(value: unknown): AuditPageJson {
  const fields = fieldsOf(value, "audit page");
  return {
    records: list(fields, "records", parseRecord),
    cursor: string(fields, "cursor"),
    hasMore: boolean(fields, "hasMore"),
  };
}

/** What is in every record is looked at; the rest is as the server says. */
function parseRecord(value: unknown): AuditRecordJson {
  const fields = fieldsOf(value, "audit record");
  const actor = fieldsOf(fields.actor, "actor");
  for (const name of ["at", "action", "result", "previous", "hash"]) string(fields, name);
  for (const name of ["v", "sequence"]) number(fields, name);
  string(actor, "kind");
  return fields as unknown as AuditRecordJson;
}

function parseVerification(value: unknown): AuditVerificationJson {
  const fields = fieldsOf(value, "verification");
  return {
    checked: number(fields, "checked"),
    problems: list(fields, "problems", (item) => {
      const problem = fieldsOf(item, "problem");
      return { sequence: number(problem, "sequence"), problem: string(problem, "problem") };
    }),
    anchor: parsePoint(fields.anchor),
    head: parsePoint(fields.head),
    cursor: nullable(fields, "cursor", string),
  };
}

function parsePoint(value: unknown): AuditPointJson {
  const fields = fieldsOf(value, "place in the chain");
  return { sequence: number(fields, "sequence"), hash: string(fields, "hash") };
}
