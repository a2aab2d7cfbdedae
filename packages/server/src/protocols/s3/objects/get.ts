/**
 * `GET` and `HEAD` of an object: the whole, one range, or one part of what came in parts. A checksum is
 * shown only with the bytes that it was made of.
 */

import { OperationalError } from "../../../core/errors.ts";
import { type PartRange, partRangeOf, partSizesOf } from "../../../core/multipart/index.ts";
import type { ObjectAddress, OpenObject } from "../../../core/objects.ts";
import {
  contentRange,
  evaluateConditions,
  parseRange,
  rangeUnsatisfiable,
  requestSignal,
  sendBody,
} from "../../../http/index.ts";
import type { Exchange, Handler, ObjectExchange, S3Services } from "../services.ts";
import { base64Of, checksumAlgorithms, checksumHeaders, checksumOf } from "./checksums.ts";
import { objectHeaders } from "./object-headers.ts";
import { partNumberOf } from "./part-number.ts";
import { invalidPart, invalidRequest } from "./refusals.ts";

export const getObject =
  ({ objects, buckets }: S3Services): Handler<ObjectExchange> =>
  async (exchange) => {
    const { request, reply, bucket: name, key } = exchange;
    const address = { bucket: name, key };
    const shown = await lookUp(objects, exchange, address);
    const { object } = shown;
    const bucket = await buckets.find(name);
    reply.headers(objectHeaders(exchange, object, bucket?.visibility));
    const validators = { etag: object.etag, modifiedAt: object.createdAt };
    switch (evaluateConditions(request.headers, validators, { reading: true })) {
      case "precondition-failed":
        throw new OperationalError("precondition_failed", "the object is not the one asked for");
      case "not-modified":
        return reply.removeHeader("content-type").code(304).send();
      case "proceed":
        return send(exchange, shown);
    }
  };

/** For a HEAD without the way to its bytes; of the whole it costs less to look up. */
async function lookUp(
  objects: S3Services["objects"],
  { request, caller, query }: Exchange,
  address: ObjectAddress,
): Promise<Shown> {
  const isHead = request.method === "HEAD";
  if (isHead && !query.has("partNumber")) {
    return { object: await objects.head(caller.actor, address) };
  }
  const { read, ...shown } = await objects.open(caller.actor, address);
  return isHead ? shown : { ...shown, read };
}

type Shown = Pick<OpenObject, "object"> & Partial<OpenObject>;

async function send(exchange: Exchange, shown: Shown) {
  const { request, reply } = exchange;
  const { object, read } = shown;
  const { range, headers } = await plan(exchange, shown);
  const length = range === undefined ? object.length : range.lastByte - range.firstByte + 1;
  const signal = requestSignal(request);
  // No byte of an empty part is there to be read.
  const body =
    read === undefined || length === 0 ? noBody() : await read({ signal, ...(range ?? {}) });
  const status = range === undefined ? 200 : 206;
  await sendBody(request, reply, body, { status, headers, length });
  return reply;
}

interface Plan {
  /** Absent: the whole. */
  readonly range?: PartRange;
  readonly headers: Readonly<Record<string, string>>;
}

/** Of several ranges, and of what is malformed, the whole is sent, as AWS does. */
async function plan(exchange: Exchange, shown: Shown): Promise<Plan> {
  const { request } = exchange;
  const { object } = shown;
  const partNumber = partNumberOf(exchange);
  const asksChecksum =
    request.headers["x-amz-checksum-mode"]?.toString().toUpperCase() === "ENABLED";
  if (partNumber !== undefined) {
    return await partPlan(exchange, shown, { partNumber, asksChecksum });
  }
  const asked = parseRange(request.headers.range, object.length);
  if (asked.kind === "unsatisfiable") throw rangeUnsatisfiable(object.length);
  if (asked.kind === "ranges" && !(request.headers.range ?? "").includes(",")) {
    const [range] = asked.ranges;
    return { range, headers: { "content-range": contentRange(range, object.length) } };
  }
  return { headers: asksChecksum ? checksumHeaders(checksumOf(object)) : {} };
}

async function partPlan(
  { request }: Exchange,
  shown: Shown,
  { partNumber, asksChecksum }: { readonly partNumber: number; readonly asksChecksum: boolean },
): Promise<Plan> {
  const { object } = shown;
  if (request.headers.range !== undefined) {
    throw invalidRequest("Cannot specify both Range header and partNumber query parameter");
  }
  const sizes = partSizesOf(object.attributes);
  const range = partRangeOf(sizes ?? [object.length], partNumber);
  if (range === undefined) throw invalidPart("The requested partnumber is not satisfiable");
  const whole = range.firstByte === 0 && range.lastByte + 1 === object.length;
  const headers = {
    ...(sizes === undefined ? {} : { "x-amz-mp-parts-count": String(sizes.length) }),
    ...(whole && asksChecksum ? checksumHeaders(checksumOf(object)) : {}),
    ...(!whole && asksChecksum ? await partChecksum(shown, partNumber) : {}),
    ...(range.lastByte < range.firstByte
      ? {}
      : { "content-range": contentRange(range, object.length) }),
  };
  return { range, headers };
}

/** The part's own, by the algorithm of the object's. */
async function partChecksum({ object, partDigests }: Shown, partNumber: number) {
  const { digest, header } = checksumAlgorithms[checksumOf(object).algorithm];
  const digests = await partDigests?.({ after: partNumber - 1, limit: 1 });
  const own = digests?.get(partNumber)?.[digest];
  return own === undefined ? {} : { [header]: base64Of(own) };
}

function noBody() {
  return {
    async *[Symbol.asyncIterator]() {},
    async [Symbol.asyncDispose]() {},
  };
}
