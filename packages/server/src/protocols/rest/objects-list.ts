/** Lists of objects, a page at a time, in order of the keys' UTF-8 bytes. */
import { listLimitMax, type ObjectListJson } from "@roma/contract";
import { parsePrefix } from "../../core/object-key.ts";
import { badParameter, queryInteger, queryValue } from "../../http/index.ts";
import { bucketOf } from "./address.ts";
import { formatCursor, parseCursor } from "./list-cursor.ts";
import { present } from "./present.ts";
import type { Handler, RestServices } from "./services.ts";
import { objectJson } from "./wire.ts";

const delimiterCharactersMax = 64;

export const listObjects =
  ({ objects }: RestServices): Handler =>
  async ({ request, caller }): Promise<ObjectListJson> => {
    const bucket = bucketOf(request);
    const prefix = parsePrefix(queryValue(request, "prefix") ?? "");
    const delimiter = queryValue(request, "delimiter") ?? "";
    if (delimiter.length > delimiterCharactersMax) {
      throw badParameter("delimiter", `is longer than ${delimiterCharactersMax} characters`);
    }
    const limit = queryInteger(request, "limit", {
      min: 1,
      max: listLimitMax,
      otherwise: listLimitMax,
    });
    const query = [bucket, prefix, delimiter];
    const cursor = queryValue(request, "cursor");
    const after = cursor === undefined ? undefined : parseCursor(query, cursor);
    const page = await objects.list(
      caller.actor,
      present({ bucket, prefix, delimiter, limit, after }),
    );
    return {
      objects: page.objects.map((object) => objectJson(object, caller.actor)),
      prefixes: page.prefixes,
      cursor: page.next === undefined ? null : formatCursor(query, page.next),
    };
  };
