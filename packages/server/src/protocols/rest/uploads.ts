/** Uploads of every protocol: list, get, cancel. Those that live with their request, and those that outlive it. */
import { listLimitMax, type UploadListJson } from "@roma/contract";
import { hasQuery, queryInteger, queryValue, requestSignal } from "../../http/index.ts";
import { idOf } from "./address.ts";
import { getDirect } from "./direct-uploads.ts";
import { formatCursor, parseCursor } from "./list-cursor.ts";
import { present } from "./present.ts";
import { ietfProtocol } from "./resumable-create.ts";
import { refuseFields, spokenDialect } from "./resumable-dialects.ts";
import { settleFor } from "./resumable-resource.ts";
import { runningUpload } from "./running-upload.ts";
import type { Handler, RestServices } from "./services.ts";
import { runningUploadJson, uploadJson } from "./wire.ts";

/** In order of ids, a page at a time. */
export const listUploads =
  ({ uploads, resumable }: RestServices): Handler =>
  async ({ request, caller: { actor } }): Promise<UploadListJson> => {
    const bucket = queryValue(request, "bucket");
    const limit = queryInteger(request, "limit", {
      min: 1,
      max: listLimitMax,
      otherwise: listLimitMax,
    });
    const scope = ["uploads", bucket ?? ""];
    const cursor = queryValue(request, "cursor");
    const after = cursor === undefined ? undefined : parseCursor(scope, cursor);
    // One more than asked for tells whether there is another page.
    const kept = await resumable.list(actor, present({ bucket, after, limit: limit + 1 }));
    const all = await uploads.list(actor, bucket);
    const running = all.filter(({ id }) => id > (after ?? ""));
    const found = [
      ...kept.map((upload) => uploadJson(upload, actor)),
      ...running.map(runningUploadJson),
    ].sort((a, b) => (a.id < b.id ? -1 : 1));
    const page = found.slice(0, limit);
    const last = found.length > limit ? page.at(-1) : undefined;
    return { uploads: page, cursor: last === undefined ? null : formatCursor(scope, last.id) };
  };

/** With `?parts` the parts of a direct upload. Disturbs nobody, unless a client of a resumable-upload dialect asks where it may go on. */
export const getUpload =
  (services: RestServices): Handler =>
  async (exchange) => {
    const { request, reply, caller } = exchange;
    const id = idOf(request);
    const running = await runningUpload(services, exchange, id);
    if (running !== undefined) return runningUploadJson(running);
    if (hasQuery(request, "parts")) return await getDirect(services, exchange, id);
    const upload = await services.resumable.get(caller.actor, id);
    const spoken = spokenDialect(request.headers);
    if (upload.protocol !== ietfProtocol || !spoken.named) return uploadJson(upload, caller.actor);
    const settled = await settleFor(services, exchange, { id, spoken });
    return settled === undefined ? reply : uploadJson(settled, caller.actor);
  };

/** Of a complete upload only its address goes; the object stays. */
export const cancelUpload =
  (services: RestServices): Handler =>
  async (exchange) => {
    const { request, reply, caller } = exchange;
    const id = idOf(request);
    if ((await runningUpload(services, exchange, id)) !== undefined) {
      await services.uploads.cancel(caller.actor, id);
    } else {
      refuseFields(request.headers, spokenDialect(request.headers).dialect.refusedOnDelete);
      await services.resumable.cancel(caller.actor, id, { signal: requestSignal(request) });
    }
    reply.code(204);
    return null;
  };
