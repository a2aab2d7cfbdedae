/**
 * `POST /sign`: the one request of a page whose `signRequest` asks the server. What begins an upload gets the key
 * that the grant makes, unless the key that was asked for is permitted; what follows has that key already.
 */
import { z } from "zod";
import { isAllowed } from "../../core/access.ts";
import { OperationalError } from "../../core/errors.ts";
import { keyForUpload } from "../../core/grant-writes.ts";
import { partsMax } from "../../core/multipart/index.ts";
import { type ObjectKey, parseKey } from "../../core/object-key.ts";
import { receiveJson } from "./json-body.ts";
import type { CompanionServices, Exchange, Handler } from "./services.ts";
import { secondsLeft, signedUrl } from "./signing.ts";

const signable = z.object({
  method: z.enum(["GET", "PUT", "POST", "DELETE"]),
  key: z.string().min(1).max(4096),
  uploadId: z.string().min(1).max(200).optional(),
  partNumber: z.int().min(1).max(partsMax).optional(),
  expiresIn: z.int().min(1).optional(),
});

type Signable = z.output<typeof signable>;

export const signRequest =
  (services: CompanionServices): Handler =>
  async (exchange) => {
    const wanted = await receiveJson(exchange, signable);
    const { method, expiresIn } = wanted;
    const begins = wanted.uploadId === undefined && (method === "PUT" || method === "POST");
    const key = begins ? newKey(services, exchange, wanted.key) : knownKey(exchange, wanted);
    const expiresSeconds = secondsLeft(services, exchange, expiresIn);
    const query = queryOf(wanted);
    return { url: signedUrl(services, exchange, { method, key, query, expiresSeconds }), key };
  };

function queryOf({ method, uploadId, partNumber }: Signable): Readonly<Record<string, string>> {
  if (uploadId === undefined) return method === "POST" ? { uploads: "" } : {};
  return { uploadId, ...(partNumber === undefined ? {} : { partNumber: String(partNumber) }) };
}

function newKey(
  { clock }: CompanionServices,
  { actor, scope: { bucket } }: Exchange,
  asked: string,
): ObjectKey {
  const isOurs = isAllowed(actor, "object:write", { bucket, key: asked });
  if (isOurs) return parseKey(asked);
  // What Uppy asks for by itself is a UUID and the file's name.
  const filename = asked.replace(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}-/i, "");
  return keyForUpload(actor, { filename, now: clock.now() });
}

/** The S3 interface judges it again. */
function knownKey({ actor, scope: { bucket } }: Exchange, { method, uploadId, key }: Signable) {
  const ofUpload = uploadId !== undefined;
  const action = ofUpload ? "object:write" : method === "GET" ? "object:read" : "object:delete";
  if (isAllowed(actor, action, { bucket, key })) return parseKey(key);
  throw new OperationalError("access_denied", `the grant does not permit ${action} of this key`);
}
