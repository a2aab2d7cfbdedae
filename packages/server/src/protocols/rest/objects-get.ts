/** `GET` and `HEAD /v1/objects/{bucket}/{key…}`: conditions, ranges, and the bytes, verified. */
import type { FastifyReply, FastifyRequest } from "fastify";
import { OperationalError } from "../../core/errors.ts";
import type { OpenObject } from "../../core/objects.ts";
import type { ObjectRecord } from "../../core/ports/metadata-store.ts";
import type { ObjectBody } from "../../core/ports/storage-driver.ts";
import {
  contentDisposition,
  contentRange,
  evaluateConditions,
  type MultipartRanges,
  multipartRanges,
  parseRange,
  parseWantDigest,
  rangeApplies,
  rangeUnsatisfiable,
  requestSignal,
  sendBody,
} from "../../http/index.ts";
import { objectAddress } from "./address.ts";
import { contentPolicy } from "./content-policy.ts";
import { queryValue } from "./query.ts";
import type { Handler, RestServices } from "./services.ts";
import { metadataHeaders } from "./user-metadata.ts";
import { etagField } from "./wire.ts";
import { reprDigest } from "./written.ts";

export const getObject =
  ({ objects, buckets }: RestServices): Handler =>
  async ({ request, reply, caller }) => {
    const address = objectAddress(request);
    const { actor } = caller;
    const reading = request.method !== "HEAD";
    const opened = reading ? await objects.open(actor, address) : undefined;
    const object = opened?.object ?? (await objects.head(actor, address));
    const bucket = await buckets.find(address.bucket);
    const linked = queryValue(request, "grant") !== undefined;
    reply.headers(contentPolicy(object.contentType, { visibility: bucket?.visibility, linked }));
    reply.headers(objectHeaders(request, object));
    const validators = { etag: object.etag, modifiedAt: object.createdAt };
    switch (evaluateConditions(request.headers, validators, { reading: true })) {
      case "precondition-failed":
        throw new OperationalError("precondition_failed", "the object is not the one asked for");
      case "not-modified":
        return reply.removeHeader("content-type").code(304).send();
      case "proceed":
        return opened === undefined
          ? sendHead(request, reply, object)
          : sendObject(request, reply, opened);
    }
  };

function objectHeaders(
  request: FastifyRequest,
  object: ObjectRecord,
): Readonly<Record<string, string>> {
  const download = queryValue(request, "download");
  const wanted = parseWantDigest(request.headers["want-repr-digest"], "Want-Repr-Digest");
  const name = download === "" ? object.key.split("/").findLast((part) => part !== "") : download;
  return {
    "content-type": object.contentType,
    etag: etagField(object),
    "last-modified": object.createdAt.toUTCString(),
    "accept-ranges": "bytes",
    "repr-digest": reprDigest(object, wanted),
    "roma-version": object.version,
    ...metadataHeaders(object.userMetadata),
    ...(download === undefined
      ? {}
      : { "content-disposition": contentDisposition("attachment", name) }),
  };
}

/** RFC 9110 §14.2: a range counts for GET alone. */
async function sendHead(request: FastifyRequest, reply: FastifyReply, object: ObjectRecord) {
  await sendBody(request, reply, noBody(), { status: 200, headers: {}, length: object.length });
  return reply;
}

async function sendObject(request: FastifyRequest, reply: FastifyReply, opened: OpenObject) {
  const { object } = opened;
  const size = object.length;
  const signal = requestSignal(request);
  const validators = { etag: object.etag, modifiedAt: object.createdAt };
  const header = rangeApplies(request.headers, validators) ? request.headers.range : undefined;
  const asked = parseRange(header, size);
  if (asked.kind === "unsatisfiable") throw rangeUnsatisfiable(size);
  if (asked.kind === "whole") {
    const body = await opened.read({ signal });
    await sendBody(request, reply, body, { status: 200, headers: {}, length: size });
    return reply;
  }
  const [first, ...more] = asked.ranges;
  const body = await opened.read({ signal, ...first });
  if (more.length === 0) {
    const headers = { "content-range": contentRange(first, size) };
    const length = first.lastByte - first.firstByte + 1;
    await sendBody(request, reply, body, { status: 206, headers, length });
    return reply;
  }
  const { contentType } = object;
  const plan = multipartRanges(asked.ranges, { size, contentType });
  await sendBody(request, reply, rangeParts(opened, plan, { signal, first: body }), {
    status: 206,
    headers: { "content-type": plan.contentType },
    length: plan.length,
  });
  return reply;
}

/** The pieces in turn, each opened when its turn comes; the first is open already. */
function rangeParts(
  opened: OpenObject,
  plan: MultipartRanges,
  { signal, first }: { readonly signal: AbortSignal; readonly first: ObjectBody },
): ObjectBody {
  async function* bytes(): AsyncGenerator<Uint8Array> {
    for (const [index, { head, range }] of plan.parts.entries()) {
      yield head;
      await using body = index === 0 ? first : await opened.read({ signal, ...range });
      yield* body;
    }
    yield plan.tail;
  }
  const chunks = bytes();
  return {
    [Symbol.asyncIterator]: () => chunks,
    async [Symbol.asyncDispose]() {
      await chunks.return(undefined);
      // Never begun, the generator has not seen it.
      await first[Symbol.asyncDispose]();
    },
  };
}

function noBody(): ObjectBody {
  return {
    async *[Symbol.asyncIterator]() {},
    async [Symbol.asyncDispose]() {},
  };
}
