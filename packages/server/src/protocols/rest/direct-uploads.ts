/** Direct uploads: begun, looked at, signed for and completed. Their parts: `direct-parts.ts`. */
import type { DirectUploadJson, ObjectJson, SignedRequestsJson } from "@roma/contract";
import { OperationalError } from "../../core/errors.ts";
import { parseBucketName, parseKey } from "../../core/object-key.ts";
import { publicOrigin, requestSignal, withinPatience } from "../../http/index.ts";
import { basePath, idOf } from "./address.ts";
import { contentTypeField } from "./content-type-field.ts";
import { completeDirectUpload, directUpload, proof, signRequests } from "./direct-schemas.ts";
import { digestsOf, directUploadJson, signedRequestsJson } from "./direct-wire.ts";
import { assertBucketMeant } from "./environment.ts";
import { receiveJson } from "./json-body.ts";
import { present } from "./present.ts";
import type { Exchange, Handler, RestServices } from "./services.ts";
import { renderWritten } from "./written.ts";

/** Of 10,000 parts with their ETags. */
const completeBytesMax = 2 * 1024 * 1024;

/** `POST /v1/uploads`. */
export const beginDirect =
  (services: RestServices): Handler =>
  async (exchange): Promise<DirectUploadJson> => {
    const { request, reply, caller } = exchange;
    const { checksums, metadata, key, instant, form, callback, ...asked } = await receiveJson(
      exchange,
      directUpload,
    );
    const { bucket, filename, length, createOnly, via, partBytes } = asked;
    if (instant === true && checksums?.sha256 === undefined) {
      throw new OperationalError("invalid_request", 'field "instant" needs "checksums.sha256"', {
        context: { field: "checksums.sha256" },
      });
    }
    const name = parseBucketName(bucket);
    await assertBucketMeant(services, exchange, name);
    const upload = await services.direct.begin(
      caller.actor,
      present({
        bucket: name,
        key: key === undefined ? undefined : parseKey(key),
        filename,
        length,
        createOnly,
        via,
        partBytes,
        instant,
        form,
        callback,
        contentType: contentTypeField(asked.contentType),
        userMetadata: metadata,
        digests: digestsOf(checksums),
        signal: requestSignal(request),
      }),
    );
    reply.code(201).header("location", `${basePath}/uploads/${upload.id}`);
    return directUploadJson(upload, originOf(services, exchange));
  };

/** `GET /v1/uploads/{id}?parts`. */
export async function getDirect(
  services: RestServices,
  exchange: Exchange,
  id: string,
): Promise<DirectUploadJson> {
  const { request, caller } = exchange;
  const upload = await services.direct.get(caller.actor, id, { signal: requestSignal(request) });
  return directUploadJson(upload, originOf(services, exchange));
}

/** `POST /v1/uploads/{id}/requests`. */
export const signDirect =
  (services: RestServices): Handler =>
  async (exchange): Promise<SignedRequestsJson> => {
    const { request, caller } = exchange;
    const id = idOf(request);
    const { partNumbers } = await receiveJson(exchange, signRequests);
    const signed = await services.direct.sign(
      caller.actor,
      id,
      present({ partNumbers, signal: requestSignal(request) }),
    );
    return signedRequestsJson(id, signed, originOf(services, exchange));
  };

/** `POST /v1/uploads/{id}/proof`. */
export const proveDirect =
  (services: RestServices): Handler =>
  async (exchange): Promise<ObjectJson> => {
    const { request, caller } = exchange;
    const id = idOf(request);
    const { digests } = await receiveJson(exchange, proof);
    const { replayed, ...written } = await services.direct.prove(caller.actor, id, {
      digests: digests.map((hex) => new Uint8Array(Buffer.from(hex, "hex"))),
      signal: requestSignal(request),
    });
    const answer = renderWritten(exchange, written);
    if (replayed) exchange.reply.code(200);
    return answer;
  };

/** `POST /v1/uploads/{id}/complete`. */
export const completeDirect =
  (services: RestServices): Handler =>
  async (exchange): Promise<ObjectJson> => {
    const { request, caller } = exchange;
    const id = idOf(request);
    const { checksums, parts } = await receiveJson(exchange, completeDirectUpload, {
      bytesMax: completeBytesMax,
    });
    const { replayed, ...written } = await withinPatience(request, (signal) =>
      services.direct.complete(
        caller.actor,
        id,
        present({ digests: digestsOf(checksums), parts, signal }),
      ),
    );
    const answer = renderWritten(exchange, written);
    if (replayed) exchange.reply.code(200);
    return answer;
  };

function originOf({ publicUrl }: RestServices, { request }: Exchange): string {
  return publicOrigin(request, present({ publicUrl }));
}
