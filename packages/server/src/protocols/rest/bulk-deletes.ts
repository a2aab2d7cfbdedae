/** Bulk deletes: planned, confirmed, looked at, stopped and undone. */
import type { BulkDeleteJson, BulkDeleteListJson } from "@roma/contract";
import { z } from "zod";
import { parseBucketName, parsePrefix } from "../../core/object-key.ts";
import type { BulkDeleteRecord } from "../../core/ports/metadata-store.ts";
import { basePath, idOf } from "./address.ts";
import { assertBucketMeant } from "./environment.ts";
import { receiveJson } from "./json-body.ts";
import { text } from "./schemas.ts";
import type { Handler, RestServices } from "./services.ts";

const plan = z.strictObject({ bucket: text, prefix: z.string() });
const confirmation = z.strictObject({ bucket: text, environment: text.nullable(), digest: text });

export const planBulkDelete =
  (services: RestServices): Handler =>
  async (exchange): Promise<BulkDeleteJson> => {
    const given = await receiveJson(exchange, plan);
    const bucket = parseBucketName(given.bucket);
    await assertBucketMeant(services, exchange, bucket);
    const { actor } = exchange.caller;
    const prefix = parsePrefix(given.prefix);
    const record = await services.bulkDeletes.plan(actor, { bucket, prefix });
    exchange.reply.code(201).header("location", `${basePath}/bulk-deletes/${record.id}`);
    return bulkDeleteJson(record);
  };

export const confirmBulkDelete =
  (services: RestServices): Handler =>
  async (exchange): Promise<BulkDeleteJson> => {
    const { actor } = exchange.caller;
    const given = await receiveJson(exchange, confirmation);
    await assertBucketMeant(services, exchange, given.bucket);
    const id = idOf(exchange.request);
    return bulkDeleteJson(await services.bulkDeletes.confirm(actor, id, given));
  };

export const listBulkDeletes =
  ({ bulkDeletes }: RestServices): Handler =>
  async ({ caller }): Promise<BulkDeleteListJson> => ({
    bulkDeletes: (await bulkDeletes.list(caller.actor)).map(bulkDeleteJson),
  });

export const getBulkDelete =
  ({ bulkDeletes }: RestServices): Handler =>
  async ({ request, caller }) =>
    bulkDeleteJson(await bulkDeletes.get(caller.actor, idOf(request)));

export const stopBulkDelete =
  ({ bulkDeletes }: RestServices): Handler =>
  async ({ request, caller }) =>
    bulkDeleteJson(await bulkDeletes.stop(caller.actor, idOf(request)));

export const undoBulkDelete =
  ({ bulkDeletes }: RestServices): Handler =>
  async ({ request, caller }) =>
    bulkDeleteJson(await bulkDeletes.undo(caller.actor, idOf(request)));

function bulkDeleteJson(record: BulkDeleteRecord): BulkDeleteJson {
  const { revision: _revision, after: _after, undoneThrough: _through, ...shown } = record;
  return shown;
}
