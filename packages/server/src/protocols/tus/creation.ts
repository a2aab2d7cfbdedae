/**
 * `POST`: creation, creation-with-upload, creation-defer-length and concatenation. From the moment at
 * which the upload is there its `Location` is on every answer, a refusal of its first bytes too.
 */
import type { FastifyReply, FastifyRequest } from "fastify";
import type { AppendResult } from "../../core/resumable/index.ts";
import { hasBody, receiveBody, requestSignal } from "../../http/index.ts";
import { expiry, origin, uploadUrl, written } from "./answer.ts";
import { bodyChecks } from "./checksum.ts";
import { type Concat, parseConcat } from "./concat.ts";
import { locationDecorator } from "./errors.ts";
import { announcedLength, badContentType, badField, field, hasBytesType } from "./fields.ts";
import { metadataField } from "./metadata.ts";
import { objectPlan } from "./object-plan.ts";
import { protocol, type TusAttributes } from "./own-upload.ts";
import { basePath } from "./path.ts";
import type { Exchange, Handler, TusServices } from "./services.ts";

export const createUpload =
  (services: TusServices): Handler =>
  async (exchange) => {
    const { request, reply } = exchange;
    const brings = bringsBytes(request);
    const concat = concatOf(services, exchange);
    if (concat?.kind === "final") {
      if (hasBody(request.raw)) throw badField("Upload-Concat", "is final, and there is a body");
      return answer(services, exchange, await concatenate(services, exchange, concat.parts));
    }
    const checks = brings ? bodyChecks(request, exchange.caller) : undefined;
    const created = await create(services, exchange, { isPartial: concat !== undefined });
    if (!brings || (!hasBody(request.raw) && checks === undefined)) {
      return answer(services, exchange, created);
    }
    request.setDecorator(locationDecorator, uploadUrl(services, request, created.upload));
    const { body, length: bodyLength } = receiveBody(request, reply);
    const appended = await services.resumable.append(exchange.caller.actor, created.upload.id, {
      offset: 0,
      body,
      ...(bodyLength === undefined ? {} : { bodyLength }),
      ...(checks === undefined ? {} : { checks }),
      complete: "at-length",
      signal: requestSignal(request),
    });
    reply.header("upload-offset", String(appended.upload.offset));
    return answer(services, exchange, appended);
  };

/** Some HTTP stacks send a type with every request: without a body it means nothing. */
function bringsBytes(request: FastifyRequest): boolean {
  if (hasBytesType(request)) return true;
  if (hasBody(request.raw)) throw badContentType();
  return false;
}

function concatOf(services: TusServices, { request, bucket }: Exchange): Concat | undefined {
  const text = field(request, "Upload-Concat");
  if (text === undefined) return undefined;
  const path = (request.raw.url ?? "").split("?", 1)[0] ?? "";
  const slash = path.endsWith("/") ? "/" : "";
  return parseConcat(text, {
    url: `${origin(services, request)}${basePath}/${bucket}${slash}`,
    bucket,
  });
}

function create(
  { resumable, clock }: TusServices,
  { request, caller, bucket }: Exchange,
  { isPartial }: { readonly isPartial: boolean },
): Promise<AppendResult> {
  const { actor } = caller;
  const length = announcedLength(request);
  const metadata = metadataField(request);
  return resumable.create(actor, {
    bucket,
    kind: isPartial ? "partial" : "object",
    protocol,
    // Parts' metadata is not inherited: the final upload says what the object is.
    ...(isPartial ? {} : objectPlan(metadata, { actor, now: clock.now() })),
    ...(length === "deferred" ? {} : { length }),
    attributes: attributesOf(request),
    signal: requestSignal(request),
  });
}

function concatenate(
  { resumable, clock }: TusServices,
  { request, caller, bucket }: Exchange,
  parts: readonly string[],
): Promise<AppendResult> {
  const { actor } = caller;
  for (const name of ["Upload-Length", "Upload-Defer-Length"]) {
    if (field(request, name) === undefined) continue;
    throw badField(name, "has no meaning for a final upload: its length is that of its parts");
  }
  const metadata = metadataField(request);
  return resumable.concatenate(actor, {
    bucket,
    protocol,
    ...objectPlan(metadata, { actor, now: clock.now() }),
    parts,
    attributes: attributesOf(request),
    signal: requestSignal(request),
  });
}

function attributesOf(request: FastifyRequest): Readonly<Record<string, string>> {
  const metadata = field(request, "Upload-Metadata");
  const concat = field(request, "Upload-Concat");
  const attributes: TusAttributes = {
    ...(metadata === undefined ? {} : { metadata }),
    ...(concat === undefined ? {} : { concat }),
  };
  return { ...attributes };
}

function answer(
  services: TusServices,
  { request, reply }: Exchange,
  { upload, written: result }: AppendResult,
): FastifyReply {
  return reply
    .code(201)
    .header("location", uploadUrl(services, request, upload))
    .headers({ ...expiry(upload), ...written(services, request, result) })
    .send();
}
