/**
 * `PUT /v1/uploads/{id}/parts/{number}?expires&signature`: a part of a direct upload, by a request that this
 * server has signed. The signature is the credential, and good for nothing else.
 */
import { OperationalError } from "../../core/errors.ts";
import { queryValue, receiveBody, requestDigests, requestSignal } from "../../http/index.ts";
import { idOf, partNumberOf } from "./address.ts";
import type { Handler, RestServices } from "./services.ts";

export const partPath = "/uploads/{id}/parts/{number}";

export const putDirectPart =
  ({ direct }: RestServices): Handler =>
  async ({ request, reply, caller }) => {
    const signature = queryValue(request, "signature");
    const expires = queryValue(request, "expires") ?? "";
    const isAnonymous = caller.actor.kind === "anonymous";
    if (signature === undefined || !/^\d{1,12}$/.test(expires)) {
      const code = isAnonymous ? "unauthenticated" : "access_denied";
      throw new OperationalError(code, "a part is sent by a signed request alone");
    }
    if (!isAnonymous) {
      const message = "the request has two credentials: its signature and another";
      throw new OperationalError("invalid_request", message);
    }
    const part = await direct.putPart({
      uploadId: idOf(request),
      number: partNumberOf(request),
      method: "PUT",
      expiresSeconds: Number(expires),
      signature,
      digests: requestDigests(request.headers),
      open: (length) => receiveBody(request, reply, { length }).body,
      signal: requestSignal(request),
    });
    reply.code(200).header("etag", `"${part.etag}"`);
    return null;
  };
