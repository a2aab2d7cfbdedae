/** `PUT` of an object: the body, streamed, becomes the object, or nothing does. */
import type { ObjectRecord } from "../../../core/ports/metadata-store.ts";
import { etagField, requestSignal } from "../../../http/index.ts";
import type { Handler, ObjectExchange, S3Services } from "../services.ts";
import { checksumAttributes, checksumHeaders, checksumOf } from "./checksums.ts";
import { underConditions, writeConditions } from "./conditions.ts";
import { describeObject } from "./described.ts";
import { fieldsOf } from "./fields.ts";
import { comparingSignedBody, receiveObject } from "./receive.ts";
import { putBytesMax } from "./refusals.ts";

export const putObject =
  (services: S3Services): Handler<ObjectExchange> =>
  async (exchange) => {
    const { request, reply, caller, bucket, key } = exchange;
    const conditions = writeConditions(request.headers);
    const described = describeObject(fieldsOf(exchange));
    const { algorithm, begun, ...received } = receiveObject(exchange, { bytesMax: putBytesMax });
    const { object } = await underConditions(services, exchange, {
      conditions,
      hadBegun: begun,
      run: () =>
        comparingSignedBody(exchange, () =>
          services.uploads.put(caller.actor, {
            bucket,
            key,
            ...described,
            attributes: { ...described.attributes, ...checksumAttributes(algorithm) },
            ...received,
            digestsWanted: ["md5"],
            conditions,
            signal: requestSignal(request),
          }),
        ),
    });
    return reply.code(200).headers(writtenHeaders(object)).send();
  };

/** What every write tells of what it made. */
export function writtenHeaders(object: ObjectRecord): Readonly<Record<string, string>> {
  return { etag: etagField(object), ...checksumHeaders(checksumOf(object)) };
}
