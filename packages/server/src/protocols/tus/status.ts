/** `HEAD`: where an upload is. The offset told is durable, and the next `PATCH` at it is taken. */
import { requestSignal } from "../../http/index.ts";
import { expiry, madeObject } from "./answer.ts";
import { isFinal } from "./concat.ts";
import { ownUpload } from "./own-upload.ts";
import type { Handler, TusServices } from "./services.ts";

export const uploadStatus =
  (services: TusServices): Handler =>
  async (exchange) => {
    const { request, reply, caller } = exchange;
    const { id, attributes } = await ownUpload(services, exchange);
    const signal = requestSignal(request);
    const upload = await services.resumable.settle(caller.actor, id, { signal });
    const { metadata, concat } = attributes;
    const isComplete = upload.phase === "complete";
    // §Concatenation: of a final upload there is an offset only once it is made.
    const hasOffset = isComplete || !isFinal(concat);
    return reply
      .code(200)
      .headers({
        ...(hasOffset ? { "upload-offset": String(upload.offset) } : {}),
        ...(upload.length === null
          ? { "upload-defer-length": "1" }
          : { "upload-length": String(upload.length) }),
        ...(metadata === undefined ? {} : { "upload-metadata": metadata }),
        ...(concat === undefined ? {} : { "upload-concat": concat }),
        ...expiry(upload),
        ...madeObject(services, request, upload),
      })
      .send();
  };
