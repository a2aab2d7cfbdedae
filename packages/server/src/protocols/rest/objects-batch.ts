/** Deleting: one object, or many keys of a bucket in one request. */
import type { BatchDeleteResultJson } from "@roma/contract";
import { bucketOf, objectAddress } from "./address.ts";
import { receiveJson } from "./json-body.ts";
import { batchDelete } from "./schemas.ts";
import type { Handler, RestServices } from "./services.ts";
import { writeConditions } from "./write-conditions.ts";

/** Room for 1,000 keys of 1,024 bytes with their escapes. */
const batchBytesMax = 2 * 1024 * 1024;

export const deleteObject =
  ({ objects }: RestServices): Handler =>
  async ({ request, reply, caller }) => {
    await objects.delete(caller.actor, objectAddress(request), writeConditions(request));
    reply.code(204);
    return null;
  };

export const deleteObjects =
  ({ objects }: RestServices): Handler =>
  async (exchange): Promise<BatchDeleteResultJson> => {
    const { request, caller } = exchange;
    const bucket = bucketOf(request);
    const { keys } = await receiveJson(exchange, batchDelete, { bytesMax: batchBytesMax });
    const { deleted, failed } = await objects.deleteMany(caller.actor, bucket, keys);
    return {
      deleted,
      failed: failed.map(({ key, error }) => ({ key, code: error.code, detail: error.message })),
    };
  };
