/** Grants: signed by the caller's own key, and never more than that key may do. */
import { randomUUID } from "node:crypto";
import type { GrantJson } from "@roma/contract";
import type { z } from "zod";
import { authorize } from "../../core/access.ts";
import { isContentTypeRange } from "../../core/content-type.ts";
import { OperationalError } from "../../core/errors.ts";
import { templateHead, templateProblem } from "../../core/grant-template.ts";
import { grantContextBytesMax, grantLifetimeMsMax, signGrant } from "../../core/grants.ts";
import { parseBucketName, parseKey, parsePrefix } from "../../core/object-key.ts";
import { objectPath } from "./address.ts";
import { assertBucketMeant } from "./environment.ts";
import { receiveJson } from "./json-body.ts";
import { present } from "./present.ts";
import { grantRequest } from "./schemas.ts";
import type { Handler, RestServices } from "./services.ts";

const lifetimeMsDefault = 15 * 60 * 1000;

export const createGrant =
  (services: RestServices): Handler =>
  async (exchange): Promise<GrantJson> => {
    const { accessKeys, clock } = services;
    const { actor } = exchange.caller;
    const { expiresIn = lifetimeMsDefault, ...wanted } = await receiveJson(exchange, grantRequest);
    // Checked whoever asks, so that nobody learns from the answer what he may not do.
    assertScope(wanted, expiresIn);
    const { bucket, key, template } = wanted;
    await assertBucketMeant(services, exchange, bucket);
    const head = template === undefined ? undefined : templateHead(template);
    const target = present({ bucket, key, prefix: wanted.prefix ?? head });
    for (const action of wanted.actions) authorize(actor, action, target);
    if (actor.kind !== "key") {
      throw new OperationalError(
        "access_denied",
        "a grant is made with an access key, not a grant",
      );
    }
    const signer = await accessKeys.open(actor.keyId);
    if (signer === undefined) throw new OperationalError("unauthenticated", "the key is gone");
    // Whole seconds, as the token says it.
    const endMs = clock.now().getTime() + expiresIn;
    const expiresAt = new Date(Math.floor(endMs / 1000) * 1000);
    const grant = signGrant(
      present({
        ...wanted,
        methods: wanted.methods?.map((method) => method.toUpperCase()),
        jti: randomUUID(),
      }),
      { keyId: actor.keyId, secret: signer.secret },
      expiresAt,
    );
    exchange.reply.code(201);
    const url = key === undefined ? null : `${objectPath(bucket, key)}?grant=${grant}`;
    return { grant, url, expiresAt: expiresAt.toISOString() };
  };

function assertScope(
  wanted: Omit<z.output<typeof grantRequest>, "expiresIn">,
  lifetimeMs: number,
): void {
  parseBucketName(wanted.bucket);
  const { key, prefix, template } = wanted;
  if ((key === undefined) === (prefix === undefined && template === undefined)) {
    throw wrongField("key", '"key" is needed, or "prefix" or "template", and not with them');
  }
  if (key !== undefined) parseKey(key);
  if (prefix !== undefined) parsePrefix(prefix);
  const problem = template === undefined ? undefined : templateProblem(template, prefix);
  if (problem !== undefined) throw wrongField("template", `field "template" ${problem}`);
  if (template !== undefined && prefix === undefined && wanted.actions.includes("object:list")) {
    throw wrongField("prefix", 'the action object:list needs "prefix" beside "template"');
  }
  if (Buffer.byteLength(JSON.stringify(wanted.context) ?? "") > grantContextBytesMax) {
    const limit = `${grantContextBytesMax} bytes of JSON`;
    throw wrongField("context", `field "context" is larger than ${limit}`);
  }
  if ((wanted.minBytes ?? 0) > (wanted.maxBytes ?? Number.MAX_SAFE_INTEGER)) {
    throw wrongField("minBytes", 'field "minBytes" is greater than "maxBytes"');
  }
  const wrong = wanted.contentTypes?.findIndex((range) => !isContentTypeRange(range)) ?? -1;
  if (wrong !== -1) {
    const field = `contentTypes.${wrong}`;
    throw wrongField(field, `field "${field}" is not a type or a range like image/*`);
  }
  if (lifetimeMs < 1000 || lifetimeMs > grantLifetimeMsMax) {
    throw wrongField("expiresIn", 'field "expiresIn" must be 1 s to 7 days');
  }
}

function wrongField(field: string, detail: string): OperationalError {
  return new OperationalError("invalid_request", detail, { context: { field } });
}
