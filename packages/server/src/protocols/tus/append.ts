/** `PATCH`: bytes at an offset. What came of them is stored, whatever ends the request. */
import { OperationalError } from "../../core/errors.ts";
import { receiveBody, requestSignal } from "../../http/index.ts";
import { expiry, written } from "./answer.ts";
import { bodyChecks } from "./checksum.ts";
import { isFinal } from "./concat.ts";
import { badContentType, hasBytesType, offsetField, wholeNumber } from "./fields.ts";
import { ownUpload } from "./own-upload.ts";
import type { Handler, TusServices } from "./services.ts";

export const appendToUpload =
  (services: TusServices): Handler =>
  async (exchange) => {
    const { request, reply, caller } = exchange;
    const { id, attributes } = await ownUpload(services, exchange);
    if (isFinal(attributes.concat)) {
      throw new OperationalError("access_denied", "a final upload takes no bytes of its own");
    }
    if (!hasBytesType(request)) throw badContentType();
    const offset = offsetField(request);
    const length = wholeNumber(request, "Upload-Length");
    const checks = bodyChecks(request, caller);
    const { body, length: bodyLength } = receiveBody(request, reply);
    const { upload, written: result } = await services.resumable.append(caller.actor, id, {
      offset,
      body,
      ...(bodyLength === undefined ? {} : { bodyLength }),
      ...(length === undefined ? {} : { length }),
      ...(checks === undefined ? {} : { checks }),
      complete: "at-length",
      signal: requestSignal(request),
    });
    return reply
      .code(204)
      .header("upload-offset", String(upload.offset))
      .headers({ ...expiry(upload), ...written(services, request, result) })
      .send();
  };
