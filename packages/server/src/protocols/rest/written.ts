/** The answer to every write that made one object: 201 when it is new, 200 when it replaced one. */
import type { ObjectJson } from "@roma/contract";
import type { WriteResult } from "../../core/ports/metadata-store.ts";
import type { DigestName } from "../../core/ports/storage-driver.ts";
import { etagField, reprDigest } from "../../http/index.ts";
import { objectPath } from "./address.ts";
import type { Exchange } from "./services.ts";
import { objectJson } from "./wire.ts";

export function renderWritten(
  { reply, caller }: Exchange,
  { object, replaced }: WriteResult,
  digestsWanted: readonly DigestName[] = [],
): ObjectJson {
  reply.code(replaced === undefined ? 201 : 200);
  if (replaced === undefined) reply.header("location", objectPath(object.bucket, object.key));
  reply.header("etag", etagField(object));
  reply.header("repr-digest", reprDigest(object, digestsWanted));
  return objectJson(object, caller.actor);
}
