/**
 * `POST /v1/uploads/{id}/oss-callback?signature`: Alibaba OSS says that it has the file of a form, which completes the
 * upload. Two signatures must be good. Ours, in the query, says that the address was given out with the form: OSS
 * signs calls to anybody for any customer, by a key of 512 bits. OSS's says that nothing of the call was changed.
 * https://www.alibabacloud.com/help/en/oss/developer-reference/callback
 */
import { verify } from "node:crypto";
import type { OssCallbackJson } from "@roma/contract";
import type { FastifyRequest } from "fastify";
import { OperationalError } from "../../core/errors.ts";
import { percentDecoded, queryValue, receiveBytes, requestSignal } from "../../http/index.ts";
import { basePath, idOf } from "./address.ts";
import { ossCallback } from "./direct-schemas.ts";
import { parseAs } from "./json-body.ts";
import type { Handler, RestServices } from "./services.ts";

export const callbackPath = "/uploads/{id}/oss-callback";

const bodyBytesMax = 16 * 1024;
const signatureCharactersMax = 2048;
/** OSS gives up after 5 s, of which the way takes some. */
const answerMsMax = 4_000;

/** Where OSS calls, of an upload, with our signature; `publicUrl` is the server's. */
export function ossCallbackUrl(publicUrl: string) {
  return (uploadId: string, signature: string): string =>
    `${addressOf(publicUrl, uploadId)}?signature=${signature}`;
}

export const ossCalls =
  (services: RestServices): Handler =>
  async ({ request, reply, caller }): Promise<OssCallbackJson> => {
    const late = AbortSignal.timeout(answerMsMax);
    const { direct } = services;
    const id = idOf(request);
    if (!direct.isCallback(id, queryValue(request, "signature") ?? "")) throw notOss();
    const bytes = await receiveBytes(request, reply, {
      bytesMax: bodyBytesMax,
      bytesMaxName: "the limit of a callback",
    });
    await assertSigned(services, request, { id, bytes });
    const { uploadId } = parseAs(ossCallback, bytes);
    if (uploadId !== id) throw notOss();
    try {
      const signal = AbortSignal.any([requestSignal(request), late]);
      await direct.completeCalledBack(id, { signal, origin: caller.actor.origin });
      return { id, status: "complete" };
    } catch (error) {
      if (!late.aborted) throw error;
      // It goes on, and who asks for it is told how it ended.
      return { id, status: "completing" };
    }
  };

/** `access_denied`; `unavailable` if OSS's key cannot be had. */
async function assertSigned(
  { ossKeys, publicUrl }: RestServices,
  request: FastifyRequest,
  { id, bytes }: { readonly id: string; readonly bytes: Buffer },
): Promise<void> {
  const { authorization = "", "x-oss-pub-key-url": keyUrl } = request.raw.headers;
  if (publicUrl === undefined || typeof keyUrl !== "string") throw notOss();
  if (authorization.length > signatureCharactersMax) throw notOss();
  const key = await ossKeys.keyAt(keyUrl);
  if (key === undefined) throw notOss();
  // As OSS was told it: a proxy may have taken something off the path since.
  const path = percentDecoded(new URL(addressOf(publicUrl, id)).pathname);
  const query = (request.raw.url ?? "").replace(/^[^?]*/, "");
  const signed = Buffer.concat([Buffer.from(`${path}${query}\n`), bytes]);
  if (!verify("RSA-MD5", signed, key, Buffer.from(authorization, "base64"))) throw notOss();
}

function addressOf(publicUrl: string, uploadId: string): string {
  return `${publicUrl.replace(/\/+$/, "")}${basePath}${callbackPath.replace("{id}", uploadId)}`;
}

/** One answer to everything that is not OSS's call, so that nothing is learnt of uploads. */
function notOss(): OperationalError {
  return new OperationalError("access_denied", "this is not a call that Alibaba OSS was asked for");
}
