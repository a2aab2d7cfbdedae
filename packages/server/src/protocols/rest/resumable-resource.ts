/**
 * The upload resource `/v1/uploads/{id}` for clients of the resumable-upload dialects: where it is, and
 * going on with it. An upload of another protocol is continued by that protocol alone.
 */
import { OperationalError } from "../../core/errors.ts";
import type { UploadView } from "../../core/resumable/index.ts";
import { requestSignal } from "../../http/index.ts";
import { idOf } from "./address.ts";
import { refuse, refuseRoute } from "./refuse.ts";
import {
  type Continued,
  completedUpload,
  completenessHeader,
  continuing,
  digestsWanted,
  finalAnswer,
  limitHeaders,
  stateHeaders,
} from "./resumable-answers.ts";
import { appendContent, ietfProtocol } from "./resumable-create.ts";
import { refuseFields, type Spoken, spokenDialect } from "./resumable-dialects.ts";
import {
  type ContentPlan,
  contentChecks,
  parseAppend,
  receiveContent,
} from "./resumable-requests.ts";
import { runningUpload } from "./running-upload.ts";
import type { Exchange, Handler, RestServices } from "./services.ts";

/** What the resource of an upload that is not continued here offers. */
const otherMethods = ["DELETE", "GET", "HEAD", "OPTIONS"];

/** `PATCH /v1/uploads/{id}`. */
export const appendUpload =
  (services: RestServices): Handler =>
  async (exchange) => {
    const { request, reply, caller } = exchange;
    const id = idOf(request);
    const upload =
      (await runningUpload(services, exchange, id)) ??
      (await services.resumable.get(caller.actor, id));
    if (!isContinuedHere(upload)) {
      refuseRoute(otherMethods, exchange);
      return reply;
    }
    const spoken = spokenDialect(request.headers);
    const { bucket } = upload;
    const continued = { spoken, digestsWanted: digestsWanted(request), bucket, id };
    return continuing(services, exchange, continued, async () => {
      const plan = parseAppend(request, spoken);
      if (upload.phase === "complete")
        return replay(services, exchange, { upload, plan, continued });
      const received = receiveContent(exchange, "append");
      const checks = contentChecks(request, caller);
      return appendContent(services, exchange, { ...plan, ...received, continued, checks });
    });
  };

/** `HEAD /v1/uploads/{id}`: the dialect's status for who can go on with it, else that of the JSON. */
export const headUpload =
  (services: RestServices, otherwise: Handler): Handler =>
  async (exchange) => {
    const { request, reply, caller } = exchange;
    const id = idOf(request);
    if ((await runningUpload(services, exchange, id)) !== undefined) return otherwise(exchange);
    const upload = await services.resumable.get(caller.actor, id);
    if (!isContinuedHere(upload)) return otherwise(exchange);
    const spoken = spokenDialect(request.headers);
    refuseFields(request.headers, spoken.dialect.refusedOnHead);
    if ((await settleFor(services, exchange, { id, spoken })) === undefined) return reply;
    reply.code(204);
    return null;
  };

/**
 * As it is once nobody writes to it, with the fields that say so; refused and `undefined` when that
 * cannot be had now: with 423, which clients take for a reason to ask again and not to begin anew.
 */
export async function settleFor(
  services: RestServices,
  exchange: Exchange,
  { id, spoken: { dialect } }: { readonly id: string; readonly spoken: Spoken },
): Promise<UploadView | undefined> {
  const { request, reply, caller } = exchange;
  try {
    const signal = requestSignal(request);
    const upload = await services.resumable.settle(caller.actor, id, { signal });
    reply.headers({
      ...stateHeaders(dialect, upload),
      ...(await limitHeaders(services, exchange, dialect, upload)),
    });
    return upload;
  } catch (error) {
    if (!(error instanceof OperationalError) || !error.retryable) throw error;
    refuse(error, exchange, { status: 423, headers: { "retry-after": "1" } });
    return undefined;
  }
}

function isContinuedHere(upload: object): upload is UploadView {
  return "protocol" in upload && upload.protocol === ietfProtocol;
}

/** The client may have lost the answer: it is given again, to a request that adds nothing. */
async function replay(
  { resumable }: RestServices,
  exchange: Exchange,
  asked: { readonly upload: UploadView; readonly plan: ContentPlan; readonly continued: Continued },
): Promise<unknown> {
  const { upload, plan, continued } = asked;
  if (plan.offset !== upload.offset) {
    throw new OperationalError(
      "offset_mismatch",
      `offset ${plan.offset} does not match ${upload.offset}, where the upload was completed`,
      { context: { offset: upload.offset } },
    );
  }
  const headers = { ...completenessHeader(continued.spoken.dialect, true) };
  if (plan.contentLength !== 0) {
    const error = new OperationalError("incomplete_body", "the upload is complete already");
    refuse(error, exchange, { type: completedUpload, headers });
    return exchange.reply;
  }
  const written = await resumable.result(exchange.caller.actor, upload.id);
  if (written !== undefined) return finalAnswer(exchange, written, continued);
  const error = new OperationalError(
    "object_not_found",
    "the object was replaced or deleted since",
  );
  refuse(error, exchange, { status: 410, type: completedUpload, headers });
  return exchange.reply;
}
