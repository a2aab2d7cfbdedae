/** `DELETE ?uploadId`: gives the upload up, and all that was stored of it. */
import type { Handler, ObjectExchange, S3Services } from "../services.ts";
import { uploadAddress } from "./upload-address.ts";

export const abortMultipart =
  ({ multipart }: S3Services): Handler<ObjectExchange> =>
  async (exchange) => {
    const { reply, caller } = exchange;
    await multipart.abort(caller.actor, uploadAddress(exchange));
    return reply.code(204).send();
  };
