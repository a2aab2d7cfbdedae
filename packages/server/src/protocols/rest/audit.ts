/** The audit log: pages as JSON, all that fits as a stream of lines, and whether the chain is whole. */
import type { AuditPageJson, AuditRecordJson, AuditVerificationJson } from "@roma/contract";
import { auditLimitMax } from "../../core/audit/index.ts";
import type { AuditFilter } from "../../core/ports/metadata-store.ts";
import { badParameter, queryInteger, queryValue, sendLines } from "../../http/index.ts";
import { formatCursor, parseCursor } from "./list-cursor.ts";
import { present } from "./present.ts";
import type { Exchange, Handler, RestServices } from "./services.ts";

export const ndjsonType = "application/x-ndjson";

export const listAudit =
  ({ audit }: RestServices): Handler =>
  async (exchange): Promise<AuditPageJson | undefined> => {
    const { request, caller } = exchange;
    const { filter, names, after } = queryOf(exchange);
    const format = queryValue(request, "format") ?? "json";
    if (format === "ndjson") return await sendExport(audit, exchange);
    if (format !== "json") throw badParameter("format", "is neither json nor ndjson");
    const limit = queryInteger(request, "limit", { min: 1, max: auditLimitMax, otherwise: 100 });
    const page = await audit.list(caller.actor, { ...filter, after, limit });
    return {
      records: page.lines.map(({ line }): AuditRecordJson => JSON.parse(line)),
      cursor: formatCursor(names, String(page.after)),
      hasMore: page.hasMore,
    };
  };

export const verifyAudit =
  ({ audit }: RestServices): Handler =>
  async ({ request, caller }): Promise<AuditVerificationJson> => {
    const names = ["audit/verify"];
    const cursor = queryValue(request, "cursor");
    const after = cursor === undefined ? 0 : Number(parseCursor(names, cursor));
    const { next, ...found } = await audit.verify(caller.actor, { after });
    return { ...found, cursor: next === undefined ? null : formatCursor(names, String(next)) };
  };

/** Each line as it was hashed, with its place in the chain as its last two members. */
async function sendExport(audit: RestServices["audit"], exchange: Exchange): Promise<undefined> {
  const { request, reply, caller } = exchange;
  const { filter, after } = queryOf(exchange);
  const pages = audit.export(caller.actor, { ...filter, after });
  const chunks = async function* (): AsyncGenerator<string> {
    for await (const { lines } of pages) yield lines.map(({ line }) => `${line}\n`).join("");
  };
  await sendLines(request, reply, chunks(), { contentType: ndjsonType });
  return undefined;
}

function queryOf({ request }: Pick<Exchange, "request">): {
  readonly filter: AuditFilter;
  /** What the cursor is bound to. */
  readonly names: readonly string[];
  readonly after: number;
} {
  const texts = ["since", "until", "bucket", "key", "actor", "action"].map((name) =>
    queryValue(request, name),
  );
  const [since, until, bucket, key, actor, action] = texts;
  const filter = present({
    since: instantOf("since", since),
    until: instantOf("until", until),
    bucket,
    key,
    actor,
    action,
  });
  const names = ["audit", ...texts.map((text) => text ?? "")];
  const cursor = queryValue(request, "cursor");
  return { filter, names, after: cursor === undefined ? 0 : Number(parseCursor(names, cursor)) };
}

const instantPattern = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)$/;

/** RFC 3339 §5.6. */
function instantOf(name: string, text: string | undefined): Date | undefined {
  if (text === undefined) return undefined;
  const at = new Date(instantPattern.test(text) ? text : Number.NaN);
  if (!Number.isNaN(at.getTime())) return at;
  throw badParameter(name, "is not an instant like 2026-01-02T03:04:05Z");
}
