/** `PUT /v1/objects/{bucket}/{key…}`: the body, streamed, becomes the object. */
import type { ObjectJson } from "@roma/contract";
import type { FastifyRequest } from "fastify";
import { withSignedBody } from "../../authentication/index.ts";
import { OperationalError } from "../../core/errors.ts";
import type { ObjectAddress } from "../../core/objects.ts";
import { parseWantDigest, receiveBody, requestDigests, requestSignal } from "../../http/index.ts";
import { objectAddress } from "./address.ts";
import { contentTypeField } from "./content-type-field.ts";
import { present } from "./present.ts";
import { partialUploadType } from "./resumable-dialects.ts";
import type { Exchange, Handler, RestServices } from "./services.ts";
import { metadataOf } from "./user-metadata.ts";
import { writeConditions } from "./write-conditions.ts";
import { renderWritten } from "./written.ts";

export const putObject =
  (services: RestServices): Handler =>
  (exchange) =>
    storeBody(services, exchange, { address: objectAddress(exchange.request) });

/** The whole body at once; `length` if it is declared elsewhere than in `Content-Length`. */
export async function storeBody(
  { uploads }: RestServices,
  exchange: Exchange,
  { address, length }: { readonly address: ObjectAddress; readonly length?: number },
): Promise<ObjectJson> {
  const { request, reply, caller } = exchange;
  const { headers } = request;
  const plan = objectPlan(request, address);
  const digestsWanted = parseWantDigest(headers["want-repr-digest"], "Want-Repr-Digest");
  const written = await uploads.put(
    caller.actor,
    present({
      ...plan,
      digests: withSignedBody(requestDigests(headers), caller),
      digestsWanted,
      signal: requestSignal(request),
      ...receiveBody(request, reply, present({ length })),
    }),
  );
  return renderWritten(exchange, written, digestsWanted);
}

/** What the header fields say that the object is to be, and on which conditions. */
export function objectPlan(request: FastifyRequest, address: ObjectAddress) {
  refuseContentRange(request);
  const contentType = contentTypeField(request.headers["content-type"]);
  return {
    ...address,
    // Says that this is a piece, not what the whole is.
    contentType: contentType === partialUploadType ? undefined : contentType,
    userMetadata: metadataOf(request),
    conditions: writeConditions(request),
  };
}

/** RFC 9110 §14.5: a piece must not be stored as if it were the whole. */
function refuseContentRange(request: FastifyRequest): void {
  if (request.headers["content-range"] === undefined) return;
  throw new OperationalError("invalid_request", "Content-Range is not supported on PUT", {
    context: { header: "Content-Range" },
  });
}
