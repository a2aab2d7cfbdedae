/** The trash of a bucket: list, restore, purge. */
import {
  listLimitMax,
  type PurgeTrashResultJson,
  type RestoreTrashResultJson,
  type TrashEntryJson,
  type TrashListJson,
} from "@roma/contract";
import type { FastifyRequest } from "fastify";
import { OperationalError } from "../../core/errors.ts";
import { parsePrefix } from "../../core/object-key.ts";
import type { TrashPosition } from "../../core/ports/metadata-store.ts";
import type { TrashEntry, TrashWish } from "../../core/trash.ts";
import {
  badParameter,
  etagField,
  queryInteger,
  queryValue,
  requestSignal,
} from "../../http/index.ts";
import { bucketOf } from "./address.ts";
import { receiveJson } from "./json-body.ts";
import { formatCursor, parseCursor } from "./list-cursor.ts";
import { present } from "./present.ts";
import type { Handler, RestServices } from "./services.ts";
import { parseInstant, purgeTrash, restoreTrash } from "./trash-schemas.ts";
import { checksumsJson } from "./wire.ts";

/** Room for 1,000 ids. */
const bodyBytesMax = 256 * 1024;

/** What decides which entries are meant, for a cursor to be bound to. */
interface Filter {
  readonly prefix?: string | undefined;
  readonly deletedAfter?: Date | undefined;
  readonly deletedBefore?: Date | undefined;
}

type Selection = Filter & {
  readonly ids?: readonly string[] | undefined;
  readonly cursor?: string | undefined;
};

export const listTrash =
  ({ trash }: RestServices): Handler =>
  async ({ request, caller }): Promise<TrashListJson> => {
    const bucket = bucketOf(request);
    const filter = {
      prefix: parsePrefix(queryValue(request, "prefix") ?? ""),
      deletedAfter: queryInstant(request, "deletedAfter"),
      deletedBefore: queryInstant(request, "deletedBefore"),
    };
    const bounds = { min: 1, max: listLimitMax, otherwise: listLimitMax };
    const limit = queryInteger(request, "limit", bounds);
    const scope = scopeOf(bucket, filter);
    const cursor = queryValue(request, "cursor");
    const after = cursor === undefined ? undefined : parsePosition(scope, cursor);
    const page = await trash.list(caller.actor, present({ bucket, ...filter, limit, after }));
    return { entries: page.entries.map(entryJson), cursor: cursorOf(scope, page.next) };
  };

export const restoreFromTrash =
  ({ trash }: RestServices): Handler =>
  async (exchange): Promise<RestoreTrashResultJson> => {
    const { request, caller } = exchange;
    const bucket = bucketOf(request);
    const body = await receiveJson(exchange, restoreTrash, { bytesMax: bodyBytesMax });
    const { ifExists = "skip", ...selection } = body;
    const signal = requestSignal(request);
    const wish = wishOf(bucket, selection);
    const found = await trash.restore(caller.actor, bucket, wish, { ifExists, signal });
    const { objects, bytes, skipped, missing, next } = found;
    const cursor = cursorOf(scopeOf(bucket, selection), next);
    return { restored: objects, bytes, skipped, missing, cursor };
  };

export const purgeFromTrash =
  ({ trash }: RestServices): Handler =>
  async (exchange): Promise<PurgeTrashResultJson> => {
    const { request, caller } = exchange;
    const bucket = bucketOf(request);
    const body = await receiveJson(exchange, purgeTrash, { bytesMax: bodyBytesMax });
    const { all = false, ...selection } = body;
    const { ids, prefix, deletedAfter, deletedBefore } = selection;
    if (!all && !ids && !prefix && !deletedAfter && !deletedBefore) {
      throw new OperationalError(
        "invalid_request",
        "neither ids nor prefix, deletedAfter or deletedBefore is given: the whole trash of the " +
          'bucket is purged only with "all": true',
        { context: { field: "all" } },
      );
    }
    const signal = requestSignal(request);
    const found = await trash.purge(caller.actor, bucket, wishOf(bucket, selection), { signal });
    const { objects, bytes, retained, missing, next } = found;
    const cursor = cursorOf(scopeOf(bucket, selection), next);
    return { purged: objects, bytes, retained, missing, cursor };
  };

function wishOf(bucket: string, { ids, cursor, ...filter }: Selection): TrashWish {
  if (ids !== undefined) {
    if (cursor !== undefined || Object.values(filter).some((value) => value !== undefined)) {
      throw new OperationalError("invalid_request", "ids stand alone, without a filter", {
        context: { field: "ids" },
      });
    }
    return { ids: ids.map(Number) };
  }
  const after = cursor === undefined ? undefined : parsePosition(scopeOf(bucket, filter), cursor);
  const { deletedAfter, deletedBefore } = filter;
  const prefix = parsePrefix(filter.prefix ?? "");
  return present({ prefix, deletedAfter, deletedBefore, after });
}

function queryInstant(request: FastifyRequest, name: string): Date | undefined {
  const text = queryValue(request, name);
  if (text === undefined) return undefined;
  const at = parseInstant(text);
  if (at === undefined) throw badParameter(name, "is no RFC 3339 time like 2026-03-01T14:00:00Z");
  return at;
}

function scopeOf(bucket: string, { prefix = "", deletedAfter, deletedBefore }: Filter) {
  const times = [deletedAfter, deletedBefore].map((at) => at?.toISOString() ?? "");
  return ["trash", bucket, prefix, ...times];
}

function cursorOf(scope: readonly string[], next: TrashPosition | undefined): string | null {
  if (next === undefined) return null;
  return formatCursor(scope, JSON.stringify([next.id, next.deletedAt.getTime(), next.key]));
}

/** `invalid_request`. What passes the check was written by `cursorOf`. */
function parsePosition(scope: readonly string[], cursor: string): TrashPosition {
  const [id, deletedAt, key]: [number, number, string] = JSON.parse(parseCursor(scope, cursor));
  return { id, deletedAt: new Date(deletedAt), key };
}

function entryJson(entry: TrashEntry): TrashEntryJson {
  const { object, deletedBy } = entry;
  return {
    id: String(entry.id),
    bucket: object.bucket,
    key: object.key,
    version: object.version,
    size: object.length,
    etag: etagField(object),
    contentType: object.contentType,
    createdAt: object.createdAt.toISOString(),
    metadata: object.userMetadata,
    checksums: checksumsJson(object.digests),
    storage: object.storageId,
    deletedAt: entry.deletedAt.toISOString(),
    purgeAt: entry.purgeAt.toISOString(),
    reason: entry.reason,
    deletedBy: deletedBy === null ? null : JSON.parse(deletedBy),
    job: entry.jobId,
  };
}
