/**
 * The answer to `GET` and `HEAD` of an object, the same in every protocol that shows objects as plain
 * HTTP: headers, conditions, ranges, and the bytes, verified as they pass.
 */
import type { FastifyReply, FastifyRequest } from "fastify";
import { OperationalError } from "../core/errors.ts";
import type { ObjectRecord } from "../core/ports/metadata-store.ts";
import type { DigestName, ObjectBody } from "../core/ports/storage-driver.ts";
import { evaluateConditions, rangeApplies } from "./conditions.ts";
import { type ContentAccess, contentPolicy } from "./content-policy.ts";
import { requestSignal } from "./deadline.ts";
import { formatDigestHeader, parseWantDigest } from "./digest-headers.ts";
import { contentDisposition } from "./disposition.ts";
import { queryValue } from "./query.ts";
import {
  contentRange,
  type MultipartRanges,
  multipartRanges,
  parseRange,
  rangeUnsatisfiable,
} from "./ranges.ts";
import { sendBody } from "./send-body.ts";

/** An object at one version, and the way to its bytes. */
export interface ShownObject {
  readonly object: ObjectRecord;
  /** Both bounds are inclusive. Left out for `HEAD`: no byte is read. */
  readonly read?: (options: {
    readonly signal: AbortSignal;
    readonly firstByte?: number;
    readonly lastByte?: number;
  }) => Promise<ObjectBody>;
}

/** `precondition_failed`, `range_unsatisfiable`, and what the storage says before the first byte. */
export async function sendObject(
  request: FastifyRequest,
  reply: FastifyReply,
  shown: ShownObject,
  access: ContentAccess,
): Promise<FastifyReply> {
  const { object, read } = shown;
  reply.headers(contentPolicy(object.contentType, access));
  reply.headers(objectHeaders(request, object));
  const validators = { etag: object.etag, modifiedAt: object.createdAt };
  switch (evaluateConditions(request.headers, validators, { reading: true })) {
    case "precondition-failed":
      throw new OperationalError("precondition_failed", "the object is not the one asked for");
    case "not-modified":
      return reply.removeHeader("content-type").code(304).send();
    case "proceed":
      return read === undefined
        ? sendHead(request, reply, object)
        : sendBytes(request, reply, { object, read });
  }
}

/** The strong entity tag as it stands in `ETag`. */
export function etagField(object: Pick<ObjectRecord, "etag">): string {
  return `"${object.etag}"`;
}

/** CRC-64/NVME always, since every object has it; the others as far as they are known. */
export function reprDigest(object: ObjectRecord, wanted: readonly DigestName[]): string {
  const names = new Set<DigestName>(["crc64nvme", ...wanted]);
  return formatDigestHeader(object.digests, [...names]) ?? "";
}

/** `Roma-Meta-NAME` fields; values in percent-encoding where HTTP could not carry them. */
export function metadataHeaders(
  metadata: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const fields = Object.entries(metadata);
  return Object.fromEntries(
    fields.map(([name, value]) => [`roma-meta-${name}`, encodeMetadataValue(value)]),
  );
}

/** Spaces inside stay; at the ends HTTP would cut them off. */
function encodeMetadataValue(value: string): string {
  return value.replace(/^ +| +$|%|[^\x20-\x7e]+/g, (text) => encodeURIComponent(text));
}

/** Headers that a client may store with an object, and that are given back with it word for word. */
export const storedHeaderNames = [
  "cache-control",
  "content-disposition",
  "content-encoding",
  "content-language",
  "expires",
] as const;

/** Those that were stored: without its coding, say, nobody could read the object. */
export function storedHeaders({
  attributes,
}: Pick<ObjectRecord, "attributes">): Readonly<Record<string, string>> {
  const stored = storedHeaderNames.flatMap((name) => {
    const value = attributes[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return Object.fromEntries(stored);
}

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
    ...storedHeaders(object),
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

async function sendBytes(
  request: FastifyRequest,
  reply: FastifyReply,
  { object, read }: Required<ShownObject>,
) {
  const size = object.length;
  const signal = requestSignal(request);
  const validators = { etag: object.etag, modifiedAt: object.createdAt };
  const header = rangeApplies(request.headers, validators) ? request.headers.range : undefined;
  const asked = parseRange(header, size);
  if (asked.kind === "unsatisfiable") throw rangeUnsatisfiable(size);
  if (asked.kind === "whole") {
    const body = await read({ signal });
    await sendBody(request, reply, body, { status: 200, headers: {}, length: size });
    return reply;
  }
  const [first, ...more] = asked.ranges;
  const body = await read({ signal, ...first });
  if (more.length === 0) {
    const headers = { "content-range": contentRange(first, size) };
    const length = first.lastByte - first.firstByte + 1;
    await sendBody(request, reply, body, { status: 206, headers, length });
    return reply;
  }
  const { contentType } = object;
  const plan = multipartRanges(asked.ranges, { size, contentType });
  await sendBody(request, reply, rangeParts(read, plan, { signal, first: body }), {
    status: 206,
    headers: { "content-type": plan.contentType },
    length: plan.length,
  });
  return reply;
}

/** The pieces in turn, each opened when its turn comes; the first is open already. */
function rangeParts(
  read: Required<ShownObject>["read"],
  plan: MultipartRanges,
  { signal, first }: { readonly signal: AbortSignal; readonly first: ObjectBody },
): ObjectBody {
  async function* bytes(): AsyncGenerator<Uint8Array> {
    for (const [index, { head, range }] of plan.parts.entries()) {
      yield head;
      await using body = index === 0 ? first : await read({ signal, ...range });
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
