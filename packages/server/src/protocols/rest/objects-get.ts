/** `GET` and `HEAD /v1/objects/{bucket}/{key…}`. */
import { contextAttribute } from "../../core/grant-writes.ts";
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
    const context = shown.object.attributes[contextAttribute];
    // JSON stays JSON with everything but ASCII escaped.
    if (actor.kind === "key" && context !== undefined) {
      reply.header("roma-context", context.replaceAll(/[^\x20-\x7e]/g, escaped));
    }
    const linked = queryValue(request, "grant") !== undefined;
    return sendObject(request, reply, shown, { visibility: bucket?.visibility, linked });
  };

function escaped(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
