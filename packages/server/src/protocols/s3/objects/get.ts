/**
 * `GET` and `HEAD` of an object: the whole, one range, or one part of what came in parts. A checksum is
 * shown only with the bytes that it was made of.
 */

import { OperationalError } from "../../../core/errors.ts";
import { type PartRange, partRangeOf, partSizesOf } from "../../../core/multipart/index.ts";
import type { OpenObject } from "../../../core/objects.ts";
import type { ObjectRecord } from "../../../core/ports/metadata-store.ts";
import {
  contentRange,
  evaluateConditions,
  parseRange,
  rangeUnsatisfiable,
  requestSignal,
  sendBody,
} from "../../../http/index.ts";
import type { Exchange, Handler, ObjectExchange, S3Services } from "../services.ts";
import { checksumHeaders, checksumOf } from "./checksums.ts";
import { objectHeaders } from "./object-headers.ts";
import { partNumberOf } from "./part-number.ts";
import { invalidPart, invalidRequest } from "./refusals.ts";

export const getObject =
  ({ objects, buckets }: S3Services): Handler<ObjectExchange> =>
  async (exchange) => {
    const { request, reply, caller, bucket: name, key } = exchange;
    const address = { bucket: name, key };
    const reading = request.method !== "HEAD";
    const shown: Shown = reading
      ? await objects.open(caller.actor, address)
      : { object: await objects.head(caller.actor, address) };
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

type Shown = Pick<OpenObject, "object"> & Partial<Pick<OpenObject, "read">>;

async function send(exchange: Exchange, { object, read }: Shown) {
  const { request, reply } = exchange;
  const { range, headers } = plan(exchange, object);
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
function plan(exchange: Exchange, object: ObjectRecord): Plan {
  const { request } = exchange;
  const partNumber = partNumberOf(exchange);
  const asksChecksum =
    request.headers["x-amz-checksum-mode"]?.toString().toUpperCase() === "ENABLED";
  if (partNumber !== undefined) return partPlan(exchange, object, { partNumber, asksChecksum });
  const asked = parseRange(request.headers.range, object.length);
  if (asked.kind === "unsatisfiable") throw rangeUnsatisfiable(object.length);
  if (asked.kind === "ranges" && !(request.headers.range ?? "").includes(",")) {
    const [range] = asked.ranges;
    return { range, headers: { "content-range": contentRange(range, object.length) } };
  }
  return { headers: asksChecksum ? checksumHeaders(checksumOf(object)) : {} };
}

function partPlan(
  { request }: Exchange,
  object: ObjectRecord,
  { partNumber, asksChecksum }: { readonly partNumber: number; readonly asksChecksum: boolean },
): Plan {
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
    ...(range.lastByte < range.firstByte
      ? {}
      : { "content-range": contentRange(range, object.length) }),
  };
  return { range, headers };
}

function noBody() {
  return {
    async *[Symbol.asyncIterator]() {},
    async [Symbol.asyncDispose]() {},
  };
}
