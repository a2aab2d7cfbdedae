/**
 * `GET`: of a complete upload it is the `GET` of the object that it became, as long as the key still
 * holds that version. tus says nothing of it, and every client follows the URL sooner or later.
 */
import { OperationalError } from "../../core/errors.ts";
import { parseKey } from "../../core/object-key.ts";
import { queryValue, sendObject } from "../../http/index.ts";
import { ownUpload } from "./own-upload.ts";
import type { Handler, TusServices } from "./services.ts";

export const readUpload =
  (services: TusServices): Handler =>
  async (exchange) => {
    const { request, reply, caller, bucket } = exchange;
    const { objects, buckets } = services;
    const upload = await ownUpload(services, exchange);
    if (upload.key === null || upload.phase !== "complete") {
      throw new OperationalError("object_not_found", "the upload is not an object yet");
    }
    const opened = await objects.open(caller.actor, { bucket, key: parseKey(upload.key) });
    if (opened.object.version !== upload.version) {
      throw new OperationalError("object_not_found", "the object was replaced since");
    }
    const { visibility } = (await buckets.find(bucket)) ?? {};
    const linked = queryValue(request, "grant") !== undefined;
    return sendObject(request, reply, opened, { visibility, linked });
  };
