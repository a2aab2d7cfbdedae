/** `DELETE`: the upload's address is gone. Of a complete one the object stays. */
import { requestSignal } from "../../http/index.ts";
import { ownUpload } from "./own-upload.ts";
import type { Handler, TusServices } from "./services.ts";

export const terminateUpload =
  (services: TusServices): Handler =>
  async (exchange) => {
    const { request, reply, caller } = exchange;
    const { id } = await ownUpload(services, exchange);
    await services.resumable.cancel(caller.actor, id, { signal: requestSignal(request) });
    return reply.code(204).send();
  };
