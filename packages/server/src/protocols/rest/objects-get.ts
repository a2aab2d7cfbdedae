/** `GET` and `HEAD /v1/objects/{bucket}/{key…}`. */
import { queryValue, sendObject } from "../../http/index.ts";
import { objectAddress } from "./address.ts";
import type { Handler, RestServices } from "./services.ts";

export const getObject =
  ({ objects, buckets }: RestServices): Handler =>
  async ({ request, reply, caller }) => {
    const address = objectAddress(request);
    const { actor } = caller;
    const reading = request.method !== "HEAD";
    const shown = reading
      ? await objects.open(actor, address)
      : { object: await objects.head(actor, address) };
    const bucket = await buckets.find(address.bucket);
    const linked = queryValue(request, "grant") !== undefined;
    return sendObject(request, reply, shown, { visibility: bucket?.visibility, linked });
  };
