/** `PUT /v1/objects/{bucket}/{key…}`: the body, streamed, becomes the object. */
import type { FastifyRequest } from "fastify";
import { OperationalError } from "../../core/errors.ts";
import { parseWantDigest, receiveBody, requestDigests, requestSignal } from "../../http/index.ts";
import { objectAddress } from "./address.ts";
import { contentTypeField } from "./content-type-field.ts";
import { present } from "./present.ts";
import type { Handler, RestServices } from "./services.ts";
import { withSignedBody } from "./signed-body.ts";
import { metadataOf } from "./user-metadata.ts";
import { writeConditions } from "./write-conditions.ts";
import { renderWritten } from "./written.ts";

export const putObject =
  ({ uploads }: RestServices): Handler =>
  async (exchange) => {
    const { request, reply, caller } = exchange;
    const { headers } = request;
    refuseContentRange(request);
    const digestsWanted = parseWantDigest(headers["want-repr-digest"], "Want-Repr-Digest");
    const written = await uploads.put(
      caller.actor,
      present({
        ...objectAddress(request),
        contentType: contentTypeField(headers["content-type"]),
        userMetadata: metadataOf(request),
        digests: withSignedBody(requestDigests(headers), caller),
        digestsWanted,
        conditions: writeConditions(request),
        signal: requestSignal(request),
        ...receiveBody(request, reply),
      }),
    );
    return renderWritten(exchange, written, digestsWanted);
  };

/** RFC 9110 §14.5: a piece must not be stored as if it were the whole. */
function refuseContentRange(request: FastifyRequest): void {
  if (request.headers["content-range"] === undefined) return;
  throw new OperationalError("invalid_request", "Content-Range is not supported on PUT", {
    context: { header: "Content-Range" },
  });
}
