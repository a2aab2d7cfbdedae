/** `PUT ?partNumber&uploadId`: one part; of one that comes twice the last to be whole counts. */
import { requestSignal } from "../../../http/index.ts";
import { comparingSignedBody, receiveObject } from "../objects/receive.ts";
import { putBytesMax } from "../objects/refusals.ts";
import type { Handler, ObjectExchange, S3Services } from "../services.ts";
import { digestHeader, extraAlgorithm } from "./checksum-fields.ts";
import { requiredPartNumber, uploadAddress } from "./upload-address.ts";

export const putPart =
  ({ multipart }: S3Services): Handler<ObjectExchange> =>
  async (exchange) => {
    const { request, reply, caller } = exchange;
    const address = uploadAddress(exchange);
    const partNumber = requiredPartNumber(exchange);
    const limits = { bytesMax: putBytesMax };
    const { algorithm, begun: _begun, ...received } = receiveObject(exchange, limits);
    const signal = requestSignal(request);
    const part = await comparingSignedBody(exchange, () =>
      multipart.putPart(caller.actor, address, { partNumber, ...received, signal }),
    );
    return reply
      .code(200)
      .header("etag", `"${part.etag}"`)
      .headers(digestHeader(part.digests, algorithm ?? extraAlgorithm(part.digests)))
      .send();
  };
