/** The addresses for which a client may have signed what came here, by version 4 of the signature. */
import type { FastifyRequest } from "fastify";
import { publicOrigin } from "../http/index.ts";
import { bucketOfHost } from "./bucket-host.ts";
import { recodedPath, splitTarget } from "./canonical-request.ts";
import { addressAsReceived, type SignedAddress } from "./sigv4-signature.ts";

export interface SigningPlace {
  /** Where clients reach the server, if that is configured. */
  readonly publicUrl?: string;
  /** Under which a bucket is a label of the host, in lower case. */
  readonly domains: readonly string[];
  /** What stands before the bucket in the path: `/s3`, or empty. */
  readonly basePath: string;
}

/**
 * As received, and then how proxies may have changed it. At the root of a listener `/roma/demo/k` would name a
 * bucket `roma`, but was signed for `demo` where a proxy takes `/roma` off: there it counts with the prefix
 * before it alone, as the proxy's clients sign it.
 */
export function* signedAddresses(
  request: FastifyRequest,
  place: SigningPlace,
): Generator<SignedAddress> {
  const path = recodedPath(splitTarget(request.raw.url ?? "").path);
  const isMistakable = ({ prefix }: SignedAddress): boolean =>
    prefix !== "" && `${path}/`.startsWith(`${recodedPath(prefix)}/`);
  if (place.basePath !== "" || !otherAddresses(request, place).some(isMistakable)) {
    yield addressAsReceived;
  }
  yield* otherAddresses(request, place);
}

/** How proxies may have changed the address: by the configuration, or by those that are trusted. */
function otherAddresses(
  request: FastifyRequest,
  { publicUrl, domains }: SigningPlace,
): readonly (SignedAddress & { readonly host: string })[] {
  const received = request.raw.headers.host ?? "";
  const origins = [
    publicOrigin(request),
    ...(publicUrl === undefined ? [] : [publicOrigin(request, { publicUrl })]),
  ];
  return (
    origins
      .map((origin) => {
        const [, host = "", prefix = ""] = /^[a-z]+:\/\/([^/]*)(.*)$/i.exec(origin) ?? [];
        return { host, prefix };
      })
      .filter(({ host, prefix }) => host !== received || prefix !== "")
      // Signed for one bucket's host and sent to another's, it would lead to what nobody signed.
      .filter(({ host }) => bucketOfHost(host, domains) === bucketOfHost(received, domains))
  );
}
