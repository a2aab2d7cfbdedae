/** `GET` and `HEAD` of a file, and of its metadata. */

import { anonymous } from "../../core/access.ts";
import { isOperationalError } from "../../core/errors.ts";
import type { ObjectKey } from "../../core/object-key.ts";
import { sendObject } from "../../http/index.ts";
import { fileAddress } from "./address.ts";
import { admit, assertMayDownload, type Caller } from "./admit.ts";
import { credentialsOfHeaders } from "./credentials.ts";
import { metadataOf } from "./described.ts";
import type { Exchange, Handler, ParseServices } from "./services.ts";

export const readFile =
  (services: ParseServices): Handler =>
  async (exchange) => {
    const { request } = exchange;
    const { applicationId, key, isMetadata } = fileAddress(request);
    const credentials = credentialsOfHeaders(request, applicationId);
    const caller = await admit(services, request, credentials, { isRead: true });
    assertMayDownload(caller);
    return isMetadata
      ? await sendMetadata(services, exchange, { caller, key })
      : await sendFile(services, exchange, { caller, key });
  };

interface Asked {
  readonly caller: Caller;
  readonly key: ObjectKey;
}

async function sendFile(
  { objects, buckets }: ParseServices,
  { request, reply }: Exchange,
  { caller, key }: Asked,
) {
  const { bucket } = caller.application.config;
  const address = { bucket, key };
  const actor = readerOf(caller);
  const shown =
    request.method === "HEAD"
      ? { object: await objects.head(actor, address) }
      : await objects.open(actor, address);
  const { visibility } = (await buckets.find(bucket)) ?? {};
  return await sendObject(request, reply, shown, { visibility, linked: true });
}

/** As with parse-server, what cannot be told is an empty object. */
async function sendMetadata(
  { objects }: ParseServices,
  { reply }: Exchange,
  { caller, key }: Asked,
) {
  const { bucket } = caller.application.config;
  reply.header("cache-control", "no-store").header("x-content-type-options", "nosniff");
  try {
    return reply.send(metadataOf(await objects.head(readerOf(caller), { bucket, key })));
  } catch (error) {
    if (!isOperationalError(error)) throw error;
    return reply.send({});
  }
}

/**
 * An application whose operator configured it lets whoever has a file's URL read it. Of an access key that is one
 * by itself nobody said so: there the bucket's visibility decides.
 */
function readerOf({ application, as, actor }: Caller) {
  return application.isImplied && as === "public" ? anonymous : actor;
}
