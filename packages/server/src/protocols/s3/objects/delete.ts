/** `DELETE` of an object: 204 whether or not it was there. */
import type { Handler, ObjectExchange, S3Services } from "../services.ts";
import { underConditions, writeConditions } from "./conditions.ts";

export const deleteObject =
  (services: S3Services): Handler<ObjectExchange> =>
  async (exchange) => {
    const { request, reply, caller, bucket, key } = exchange;
    const { ifMatch } = writeConditions(request.headers);
    const conditions = ifMatch === undefined ? {} : { ifMatch };
    await underConditions(services, exchange, {
      conditions,
      run: () => services.objects.delete(caller.actor, { bucket, key }, conditions),
    });
    return reply.code(204).send();
  };
