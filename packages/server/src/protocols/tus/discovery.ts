/**
 * `OPTIONS`: what is spoken here, and how large an upload may be. It never fails and needs no
 * credential; who brings one that may write to the bucket is told its limit, everybody else the
 * largest there is, so that the answer says nothing about which buckets there are.
 */
import { objectBytesMax } from "@roma/contract";
import type { FastifyReply, FastifyRequest } from "fastify";
import { authenticate } from "../../authentication/index.ts";
import { mayWriteSomewhere } from "../../core/access.ts";
import { isOperationalError } from "../../core/errors.ts";
import { checksumAlgorithms } from "./checksum.ts";
import { tusVersion } from "./fields.ts";
import type { TusServices } from "./services.ts";

/** Every storage can do all of it: core gathers what a storage cannot append. */
const extensions = [
  "creation",
  "creation-with-upload",
  "creation-defer-length",
  "expiration",
  "checksum",
  "checksum-trailer",
  "termination",
  "concatenation",
] as const;

export async function discover(
  services: TusServices,
  { request, reply }: { readonly request: FastifyRequest; readonly reply: FastifyReply },
  bucket: string | undefined,
): Promise<FastifyReply> {
  return reply
    .code(200)
    .headers({
      "tus-version": tusVersion,
      "tus-extension": extensions.join(","),
      "tus-checksum-algorithm": checksumAlgorithms.join(","),
      "tus-max-size": String(await maxBytes(services, request, bucket)),
    })
    .send();
}

async function maxBytes(
  services: TusServices,
  request: FastifyRequest,
  bucket: string | undefined,
): Promise<number> {
  try {
    const { actor } = await authenticate(services, request, { protocol: "tus", method: "OPTIONS" });
    if (bucket === undefined || !mayWriteSomewhere(actor, bucket)) return objectBytesMax;
    return (await services.resumable.limits(actor, bucket)).maxBytes;
  } catch (error) {
    if (isOperationalError(error)) return objectBytesMax;
    throw error;
  }
}
