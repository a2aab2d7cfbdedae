/** Uploads that run: list, get, cancel. */
import type { UploadListJson } from "@roma/contract";
import { idOf } from "./address.ts";
import { queryValue } from "./query.ts";
import type { Handler, RestServices } from "./services.ts";
import { uploadJson } from "./wire.ts";

export const listUploads =
  ({ uploads }: RestServices): Handler =>
  async ({ request, caller }): Promise<UploadListJson> => {
    const bucket = queryValue(request, "bucket");
    return { uploads: uploads.list(caller.actor, bucket).map(uploadJson) };
  };

export const getUpload =
  ({ uploads }: RestServices): Handler =>
  async ({ request, caller }) =>
    uploadJson(uploads.get(caller.actor, idOf(request)));

export const cancelUpload =
  ({ uploads }: RestServices): Handler =>
  async ({ request, reply, caller }) => {
    uploads.cancel(caller.actor, idOf(request));
    reply.code(204);
    return null;
  };
