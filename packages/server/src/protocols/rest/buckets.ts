/** Buckets: create, get, list, change, delete when empty. */
import type { BucketListJson } from "@roma/contract";
import type { z } from "zod";
import type { BucketSettings } from "../../core/buckets.ts";
import { basePath, bucketOf } from "./address.ts";
import { receiveJson } from "./json-body.ts";
import { present } from "./present.ts";
import { bucketSettings } from "./schemas.ts";
import type { Handler, RestServices } from "./services.ts";
import { bucketJson } from "./wire.ts";

export const createBucket =
  ({ buckets }: RestServices): Handler =>
  async (exchange) => {
    const { request, reply, caller } = exchange;
    const name = bucketOf(request);
    const settings = settingsOf(await receiveJson(exchange, bucketSettings));
    const bucket = await buckets.create(caller.actor, name, settings);
    reply.code(201).header("location", `${basePath}/buckets/${encodeURIComponent(name)}`);
    return bucketJson(bucket);
  };

export const getBucket =
  ({ buckets }: RestServices): Handler =>
  async ({ request, caller }) =>
    bucketJson(await buckets.get(caller.actor, bucketOf(request)));

export const listBuckets =
  ({ buckets }: RestServices): Handler =>
  async ({ caller }): Promise<BucketListJson> => ({
    buckets: (await buckets.list(caller.actor)).map(bucketJson),
  });

export const changeBucket =
  ({ buckets }: RestServices): Handler =>
  async (exchange) => {
    const name = bucketOf(exchange.request);
    const settings = settingsOf(await receiveJson(exchange, bucketSettings));
    return bucketJson(await buckets.change(exchange.caller.actor, name, settings));
  };

export const deleteBucket =
  ({ buckets }: RestServices): Handler =>
  async ({ request, reply, caller }) => {
    await buckets.delete(caller.actor, bucketOf(request));
    reply.code(204);
    return null;
  };

function settingsOf(given: z.output<typeof bucketSettings>): BucketSettings {
  const { uploadExpiry, placement, trash, retention, ...rest } = given;
  const rules = typeof placement === "object" ? placement.map(present) : placement;
  const times = { uploadExpiryMs: uploadExpiry, trashMs: trash, retentionMs: retention };
  return present({ ...rest, ...times, placement: rules });
}
