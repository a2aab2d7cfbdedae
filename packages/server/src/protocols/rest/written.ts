/** The answer to every write that made one object: 201 when it is new, 200 when it replaced one. */
import type { ObjectJson } from "@roma/contract";
import type { ObjectRecord, WriteResult } from "../../core/ports/metadata-store.ts";
import type { DigestName } from "../../core/ports/storage-driver.ts";
import { formatDigestHeader } from "../../http/index.ts";
import { objectPath } from "./address.ts";
import type { Exchange } from "./services.ts";
import { etagField, objectJson } from "./wire.ts";

export function renderWritten(
  { reply }: Exchange,
  { object, replaced }: WriteResult,
  digestsWanted: readonly DigestName[] = [],
): ObjectJson {
  reply.code(replaced === undefined ? 201 : 200);
  if (replaced === undefined) reply.header("location", objectPath(object.bucket, object.key));
  reply.header("etag", etagField(object));
  reply.header("repr-digest", reprDigest(object, digestsWanted));
  return objectJson(object);
}

/** CRC-64/NVME always, since every object has it; the others as far as they are known. */
export function reprDigest(object: ObjectRecord, wanted: readonly DigestName[]): string {
  const names = new Set<DigestName>(["crc64nvme", ...wanted]);
  return formatDigestHeader(object.digests, [...names]) ?? "";
}
