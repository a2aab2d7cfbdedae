/** Fields of answers that speak of an upload and of the object that it became. */
import type { FastifyRequest } from "fastify";
import type { WriteResult } from "../../core/ports/metadata-store.ts";
import type { UploadView } from "../../core/resumable/index.ts";
import { etagField, publicOrigin, queryValue } from "../../http/index.ts";
import { basePath } from "./path.ts";
import type { TusServices } from "./services.ts";

type Fields = Readonly<Record<string, string>>;

/** §Expiration: only what is unfinished expires. */
export function expiry({ phase, expiresAt }: UploadView): Fields {
  return phase === "complete" ? {} : { "upload-expires": expiresAt.toUTCString() };
}

/** Absolute. A grant that came in the URL stays in it, or the client could not go on. */
export function uploadUrl(
  services: TusServices,
  request: FastifyRequest,
  { bucket, id }: UploadView,
): string {
  const grant = queryValue(request, "grant");
  const query = grant === undefined ? "" : `?grant=${encodeURIComponent(grant)}`;
  return `${origin(services, request)}${basePath}/${bucket}/${id}${query}`;
}

/** The object that an upload became; of a partial, nothing. */
export function madeObject(
  services: TusServices,
  request: FastifyRequest,
  made: { readonly bucket: string; readonly key: string | null; readonly version: string | null },
): Fields {
  const { bucket, key, version } = made;
  if (key === null || version === null) return {};
  return {
    "roma-object": `${origin(services, request)}${services.objectPath(bucket, key)}`,
    "roma-version": version,
  };
}

/** As `madeObject`, by the request that completed it or found it complete. */
export function written(
  services: TusServices,
  request: FastifyRequest,
  result: WriteResult | undefined,
): Fields {
  if (result === undefined) return {};
  const { object } = result;
  return { ...madeObject(services, request, object), etag: etagField(object) };
}

export function origin({ publicUrl }: TusServices, request: FastifyRequest): string {
  return publicOrigin(request, { publicUrl });
}
