/** `/s3/multipart`: an upload in parts. The server begins and ends it; the parts go to signed URLs. */
import { z } from "zod";
import { keyForUpload } from "../../core/grant-writes.ts";
import { type MultipartAddress, type PartView, partsMax } from "../../core/multipart/index.ts";
import { badParameter, isContentType, queryValue, requestSignal } from "../../http/index.ts";
import { receiveJson } from "./json-body.ts";
import { metadataOf } from "./metadata.ts";
import { keyParameter, pathParameter } from "./path.ts";
import type { CompanionServices, Exchange, Handler } from "./services.ts";
import { objectUrl, secondsLeft, signedUrl } from "./signing.ts";

const batchMax = 1_000;
const listMax = 1_000;

const createRequest = z.object({
  filename: z.string().max(4096).optional(),
  type: z.string().max(255).nullish(),
  metadata: z.record(z.string(), z.unknown()).nullish(),
});

const completeRequest = z.object({
  parts: z
    .array(z.object({ PartNumber: z.int().min(1).max(partsMax), ETag: z.string().max(200) }))
    .min(1)
    .max(partsMax),
});

export const create =
  ({ multipart, clock }: CompanionServices): Handler =>
  async (exchange) => {
    const { actor, scope } = exchange;
    const { filename, type, metadata } = await receiveJson(exchange, createRequest);
    const told = Object.entries(metadata ?? {}).map(([name, value]) => [name, `${value}`] as const);
    const { key, id } = await multipart.create(actor, {
      bucket: scope.bucket,
      key: keyForUpload(actor, { filename, now: clock.now() }),
      ...(type && isContentType(type) ? { contentType: type } : {}),
      userMetadata: metadataOf(told),
    });
    return { key, uploadId: id, bucket: scope.bucket };
  };

/** All of them: who resumes asks once. */
export const list =
  ({ multipart }: CompanionServices): Handler =>
  async (exchange) => {
    const address = addressOf(exchange);
    const parts: PartView[] = [];
    for (let after: number | undefined = 0; after !== undefined; ) {
      const page = await multipart.listParts(exchange.actor, address, { after, limit: listMax });
      parts.push(...page.parts);
      after = page.next;
    }
    return parts.map(({ partNumber, etag, length }) => ({
      PartNumber: partNumber,
      ETag: `"${etag}"`,
      Size: length,
    }));
  };

export const signPart =
  (services: CompanionServices): Handler =>
  async (exchange) => {
    const partNumber = numberOf(pathParameter(exchange.request, "partNumber"), "partNumber");
    const expires = secondsLeft(services, exchange);
    return { url: partUrl(services, exchange, { partNumber, expires }), expires };
  };

export const signParts =
  (services: CompanionServices): Handler =>
  async (exchange) => {
    const numbers = (queryValue(exchange.request, "partNumbers") ?? "").split(",");
    if (numbers.length > batchMax) {
      throw badParameter("partNumbers", `names more than ${batchMax} parts`);
    }
    const expires = secondsLeft(services, exchange);
    const urls = numbers.map((text) => {
      const partNumber = numberOf(text, "partNumbers");
      return [partNumber, partUrl(services, exchange, { partNumber, expires })] as const;
    });
    return { presignedUrls: Object.fromEntries(urls) };
  };

export const complete =
  ({ multipart }: CompanionServices): Handler =>
  async (exchange) => {
    const { actor, request } = exchange;
    const address = addressOf(exchange);
    const { parts } = await receiveJson(exchange, completeRequest);
    const { object } = await multipart.complete(actor, address, {
      parts: parts.map(({ PartNumber, ETag }) => ({
        partNumber: PartNumber,
        etag: ETag.replace(/^"(.*)"$/s, "$1"),
      })),
      signal: requestSignal(request),
    });
    const { bucket, key } = object;
    return { location: objectUrl(exchange, key), key, bucket };
  };

export const cancel =
  ({ multipart }: CompanionServices): Handler =>
  async (exchange) => {
    await multipart.abort(exchange.actor, addressOf(exchange));
    return {};
  };

function addressOf({ request, scope }: Exchange): MultipartAddress {
  const uploadId = pathParameter(request, "uploadId");
  return { bucket: scope.bucket, key: keyParameter(request), uploadId };
}

function partUrl(
  services: CompanionServices,
  exchange: Exchange,
  { partNumber, expires }: { readonly partNumber: number; readonly expires: number },
): string {
  const { key, uploadId } = addressOf(exchange);
  const query = { partNumber: String(partNumber), uploadId };
  return signedUrl(services, exchange, { method: "PUT", key, query, expiresSeconds: expires });
}

function numberOf(text: string, name: string): number {
  const number = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (number >= 1 && number <= partsMax) return number;
  throw badParameter(name, `is not 1 to ${partsMax}`);
}
