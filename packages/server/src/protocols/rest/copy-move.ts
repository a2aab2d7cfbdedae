/** Copying and moving objects: pointers only, no bytes. */
import type { z } from "zod";
import { parseBucketName, parseKey } from "../../core/object-key.ts";
import type { CopyRequest } from "../../core/objects.ts";
import { contentTypeField } from "./content-type-field.ts";
import { assertBucketMeant } from "./environment.ts";
import { receiveJson } from "./json-body.ts";
import { present } from "./present.ts";
import { copyRequest } from "./schemas.ts";
import type { Exchange, Handler, RestServices } from "./services.ts";
import { renderWritten } from "./written.ts";

export const copyObject =
  (services: RestServices): Handler =>
  async (exchange) => {
    const request = await receiveCopy(services, exchange);
    return renderWritten(exchange, await services.objects.copy(exchange.caller.actor, request));
  };

export const moveObject =
  (services: RestServices): Handler =>
  async (exchange) => {
    const request = await receiveCopy(services, exchange);
    return renderWritten(exchange, await services.objects.move(exchange.caller.actor, request));
  };

async function receiveCopy(services: RestServices, exchange: Exchange): Promise<CopyRequest> {
  const given = await receiveJson(exchange, copyRequest);
  const [from, to] = [address(given.from), address(given.to)];
  for (const { bucket } of [from, to]) await assertBucketMeant(services, exchange, bucket);
  return present({
    from: present({ ...from, version: given.from.version }),
    to,
    contentType: contentTypeField(given.contentType),
    userMetadata: given.metadata,
    conditions: given.createOnly === true ? { ifAbsent: true } : undefined,
  });
}

function address(given: z.output<typeof copyRequest>["to"]) {
  return { bucket: parseBucketName(given.bucket), key: parseKey(given.key) };
}
