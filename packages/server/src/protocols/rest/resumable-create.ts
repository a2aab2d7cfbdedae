/**
 * Creating an upload on the object's own address: any request with content becomes resumable by a field.
 * Where the client cannot learn the upload's address before the last byte, because no 104 may be sent,
 * a content that comes whole takes the ordinary way, which costs less.
 */

import { withSignedBody } from "../../authentication/index.ts";
import { keyForUpload } from "../../core/grant-writes.ts";
import { parseKey } from "../../core/object-key.ts";
import type { ObjectAddress } from "../../core/objects.ts";
import type { BodyChecks, UploadView } from "../../core/resumable/index.ts";
import { hasBody, queryValue, requestDigests, requestSignal } from "../../http/index.ts";
import { bucketOf, objectPath } from "./address.ts";
import { objectPlan, storeBody } from "./objects-put.ts";
import { present } from "./present.ts";
import {
  type Continued,
  continuing,
  digestsWanted,
  finalAnswer,
  finalHeaders,
  inform,
  limitHeaders,
  mayInform,
  progressOf,
  unfinishedAnswer,
  uploadLocation,
} from "./resumable-answers.ts";
import { completeness, type Spoken, speaksResumable, spokenDialect } from "./resumable-dialects.ts";
import {
  type ContentPlan,
  contentChecks,
  parseCreation,
  type ReceivedContent,
  receiveContent,
} from "./resumable-requests.ts";
import type { Exchange, Handler, RestServices } from "./services.ts";

/** The front end's name in records of uploads. */
export const ietfProtocol = "ietf";

type AddressOf = (exchange: Exchange) => ObjectAddress;

/** The handler, and before it the resumable way for requests that ask for it. */
export function orResumable(
  services: RestServices,
  addressOf: AddressOf,
  ordinary: Handler,
): Handler {
  return async (exchange) => {
    const { headers } = exchange.request;
    if (!speaksResumable(headers)) return ordinary(exchange);
    const spoken = spokenDialect(headers);
    if (completeness(headers, spoken) === undefined && !spoken.named) return ordinary(exchange);
    const address = addressOf(exchange);
    const asked = {
      spoken,
      digestsWanted: digestsWanted(exchange.request),
      bucket: address.bucket,
    };
    return continuing(services, exchange, asked, () =>
      createUpload(services, exchange, { asked, address }),
    );
  };
}

/**
 * `POST /v1/objects/{bucket}` with content that is no form: the key is `?key=`, or one of ours, made with
 * `?filename=`.
 */
export const postedAddress =
  ({ clock }: RestServices): AddressOf =>
  ({ request, caller }) => {
    const key = queryValue(request, "key");
    const filename = queryValue(request, "filename");
    return {
      bucket: bucketOf(request),
      key:
        key === undefined
          ? keyForUpload(caller.actor, { filename, now: clock.now() })
          : parseKey(key),
    };
  };

async function createUpload(
  services: RestServices,
  exchange: Exchange,
  { asked, address }: { readonly asked: Continued; readonly address: ObjectAddress },
): Promise<unknown> {
  const { spoken } = asked;
  const plan = parseCreation(exchange.request, spoken);
  if (plan.complete === "yes" && !mayInform(exchange, spoken)) {
    return storeWhole(services, exchange, { spoken, address, plan });
  }
  const { request, caller } = exchange;
  const { headers } = request;
  const received = receiveContent(exchange, "creation");
  const isWhole = plan.complete === "yes";
  const creation = present({
    ...objectPlan(request, address),
    kind: "object" as const,
    protocol: ietfProtocol,
    length: plan.length,
    // What is said of a content that is the upload is compared at its end, so it may come in pieces.
    digests: isWhole
      ? withSignedBody(requestDigests(headers), caller)
      : requestDigests({ "repr-digest": headers["repr-digest"] }),
    signal: requestSignal(request),
  });
  const continuedAs = (id: string) => ({
    ...asked,
    id,
    location: uploadLocation(services, request, id),
  });
  if (plan.length === 0 || !hasBody(request.raw)) {
    const { upload, written } = await services.resumable.create(caller.actor, creation);
    const continued = continuedAs(upload.id);
    return written !== undefined && isWhole
      ? finalAnswer(exchange, written, continued)
      : unfinishedAnswer(services, exchange, upload, continued);
  }
  const checks = isWhole ? undefined : contentChecks(request, caller);
  let continued: Continued = asked;
  const begin = async (): Promise<unknown> => {
    const { contentLength: _, ...append } = { ...plan, ...received, checks };
    const { upload, written } = await services.resumable.begin(
      caller.actor,
      creation,
      present({
        ...append,
        onProgress: progressOf(services, exchange, spoken),
        onCreated: async (created: UploadView) => {
          const made = continuedAs(created.id);
          continued = made;
          inform(exchange, spoken, {
            location: made.location,
            ...(await limitHeaders(services, exchange, spoken.dialect, created)),
          });
        },
        signal: requestSignal(request),
      }),
    );
    const last = continuedAs(upload.id);
    return written === undefined
      ? unfinishedAnswer(services, exchange, upload, last)
      : finalAnswer(exchange, written, last);
  };
  try {
    return await begin();
  } catch (error) {
    return continuing(services, exchange, continued, () => Promise.reject(error));
  }
}

/** The content of a request, from where it goes to what is answered. */
export async function appendContent(
  services: RestServices,
  exchange: Exchange,
  content: ContentPlan &
    ReceivedContent & {
      readonly continued: Continued & { readonly id: string };
      readonly checks: BodyChecks | undefined;
    },
): Promise<unknown> {
  const { continued, contentLength: _, ...append } = content;
  const { upload, written } = await services.resumable.append(
    exchange.caller.actor,
    continued.id,
    present({
      ...append,
      onProgress: progressOf(services, exchange, continued.spoken),
      signal: requestSignal(exchange.request),
    }),
  );
  if (written !== undefined) return finalAnswer(exchange, written, continued);
  return unfinishedAnswer(services, exchange, upload, continued);
}

/** As if it had not been asked for, but that the answer says what it is. */
async function storeWhole(
  services: RestServices,
  exchange: Exchange,
  asked: { readonly spoken: Spoken; readonly address: ObjectAddress; readonly plan: ContentPlan },
): Promise<unknown> {
  const { spoken, address, plan } = asked;
  const stored = await storeBody(services, exchange, present({ address, length: plan.length }));
  finalHeaders(exchange, spoken.dialect, objectPath(address.bucket, address.key));
  exchange.reply.header("upload-offset", String(stored.size));
  return stored;
}
