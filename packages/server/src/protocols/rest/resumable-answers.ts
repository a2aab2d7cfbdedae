/**
 * Answers of the resumable-upload dialects: the fields that say how far an upload is, refusals that say
 * whether it can be gone on with, and the 104s before the answer.
 */
import { objectBytesMax } from "@roma/contract";
import type { FastifyRequest } from "fastify";
import { isOperationalError, type OperationalError } from "../../core/errors.ts";
import type { WriteResult } from "../../core/ports/metadata-store.ts";
import type { DigestName } from "../../core/ports/storage-driver.ts";
import type { UploadView } from "../../core/resumable/index.ts";
import {
  parseWantDigest,
  publicOrigin,
  queryValue,
  requestSignal,
  sendInformation,
} from "../../http/index.ts";
import { basePath } from "./address.ts";
import { errorTable } from "./errors.ts";
import { refuse } from "./refuse.ts";
import type { Dialect, Spoken } from "./resumable-dialects.ts";
import { formatBooleanField, formatCountsField, parseCountField } from "./resumable-fields.ts";
import type { Exchange, RestServices } from "./services.ts";
import { renderWritten } from "./written.ts";

/** The names of https://www.iana.org/assignments/http-problem-types that the drafts ask for. */
const problemBase = "https://iana.org/assignments/http-problem-types#";
const mismatchingOffset = `${problemBase}mismatching-upload-offset`;
const inconsistentLength = `${problemBase}inconsistent-upload-length`;
export const completedUpload = `${problemBase}completed-upload`;

/** What an exchange is about. */
export interface Continued {
  readonly spoken: Spoken;
  /** To stand on the last answer, as far as they are known. */
  readonly digestsWanted: readonly DigestName[];
  readonly bucket: string;
  /** Of the upload; left out while there is none. */
  readonly id?: string;
  /** Of a request that creates it: told in every answer. */
  readonly location?: string;
}

/** `invalid_request`: before anything is stored. */
export function digestsWanted({ headers }: FastifyRequest): readonly DigestName[] {
  return parseWantDigest(headers["want-repr-digest"], "Want-Repr-Digest");
}

/** A grant in the query stands for the credential, so the upload's address has it as well. */
export function uploadLocation(
  { publicUrl }: RestServices,
  request: FastifyRequest,
  id: string,
): string {
  const origin = publicOrigin(request, { publicUrl });
  const grant = queryValue(request, "grant");
  const query = grant === undefined ? "" : `?grant=${encodeURIComponent(grant)}`;
  return `${origin}${basePath}/uploads/${encodeURIComponent(id)}${query}`;
}

export function completenessHeader(dialect: Dialect, complete: boolean): Record<string, string> {
  const said = dialect.completeness === "upload-incomplete" ? !complete : complete;
  return { [dialect.completeness]: formatBooleanField(said) };
}

/** How far it is. */
export function stateHeaders(dialect: Dialect, upload: UploadView): Record<string, string> {
  return {
    "upload-offset": String(upload.offset),
    ...(upload.length === null ? {} : { "upload-length": String(upload.length) }),
    ...completenessHeader(dialect, upload.phase === "complete"),
  };
}

/** `Upload-Limit` of an upload, where the dialect has it. */
export async function limitHeaders(
  { resumable, clock }: RestServices,
  { caller }: Exchange,
  dialect: Dialect,
  upload: Pick<UploadView, "bucket"> & Partial<Pick<UploadView, "expiresAt">>,
): Promise<Record<string, string>> {
  if (dialect.age.length === 0) return {};
  const { maxBytes } = await resumable.limits(caller.actor, upload.bucket);
  if (upload.expiresAt === undefined) return { "upload-limit": uploadLimit(maxBytes) };
  const seconds = Math.floor((upload.expiresAt.getTime() - clock.now().getTime()) / 1000);
  const age = dialect.age.map((name) => [name, Math.max(0, seconds)] as const);
  return { "upload-limit": uploadLimit(maxBytes, Object.fromEntries(age)) };
}

/** Numbers of a structured field have 15 digits at most, which is more than any object has bytes. */
export function uploadLimit(maxBytes: number, more: Readonly<Record<string, number>> = {}): string {
  return formatCountsField({ "max-size": Math.min(maxBytes, objectBytesMax), ...more });
}

/** The answer that the request would have had anyway, and that it is that. */
export function finalAnswer(exchange: Exchange, written: WriteResult, continued: Continued) {
  const json = renderWritten(exchange, written, continued.digestsWanted);
  finalHeaders(exchange, continued.spoken.dialect, continued.location);
  exchange.reply.header("upload-offset", String(written.object.length));
  return json;
}

/** The upload's address is a MUST of the older dialects, in which this answer is not the target's own. */
export function finalHeaders({ reply }: Exchange, dialect: Dialect, location?: string): void {
  reply.headers(completenessHeader(dialect, true));
  if (dialect.addressed && location !== undefined) reply.header("location", location);
}

/** More follows. */
export async function unfinishedAnswer(
  services: RestServices,
  exchange: Exchange,
  upload: UploadView,
  { spoken: { dialect }, location }: Continued,
): Promise<undefined> {
  const { reply } = exchange;
  reply.code(location === undefined ? dialect.appendStatus : 201);
  reply.headers({
    ...stateHeaders(dialect, upload),
    ...completenessHeader(dialect, false),
    ...(await limitHeaders(services, exchange, dialect, upload)),
  });
  if (location !== undefined) reply.header("location", location);
  return undefined;
}

/** Refuses what goes wrong on the way, saying where the upload is and whether it lives on. */
export async function continuing(
  services: RestServices,
  exchange: Exchange,
  continued: Continued,
  act: () => Promise<unknown>,
): Promise<unknown> {
  try {
    return await act();
  } catch (error) {
    if (requestSignal(exchange.request).aborted || !isOperationalError(error)) throw error;
    await refuseContinuing(services, exchange, continued, error);
    return exchange.reply;
  }
}

async function refuseContinuing(
  services: RestServices,
  exchange: Exchange,
  { spoken: { dialect }, bucket, id, location }: Continued,
  error: OperationalError,
): Promise<void> {
  const left = id === undefined ? undefined : await uploadLeft(services, exchange, id);
  const details = refusalDetails(exchange, error);
  const { status = errorTable[error.code].status } = details;
  const state =
    left === undefined
      ? {}
      : {
          "upload-offset": String(error.context.offset ?? left.offset),
          ...(location === undefined ? {} : { location }),
        };
  const headers = {
    ...completenessHeader(dialect, left === undefined),
    ...state,
    ...(status === 413 ? await limitHeaders(services, exchange, dialect, left ?? { bucket }) : {}),
    ...(status === 423 ? { "retry-after": "1" } : {}),
  };
  refuse(error, exchange, { ...details, headers });
}

function refusalDetails({ request }: Exchange, { code, context, retryable }: OperationalError) {
  if (code === "offset_mismatch") {
    const provided = parseCountField(request.headers["upload-offset"]) ?? 0;
    const members = { "expected-offset": context.offset, "provided-offset": provided };
    return { type: mismatchingOffset, members };
  }
  // What core says of a length that contradicts what it knows, and of bytes beyond it.
  if (context.length !== undefined) return { status: 400, type: inconsistentLength };
  const { status } = errorTable[code];
  // Clients give up on these, and come again after 503.
  return retryable && (status === 408 || status === 429) ? { status: 503 } : {};
}

/** What has become of it: of one that failed for good nothing is left. */
async function uploadLeft(
  { resumable }: RestServices,
  { caller }: Exchange,
  id: string,
): Promise<UploadView | undefined> {
  try {
    return await resumable.get(caller.actor, id);
  } catch (error) {
    if (isOperationalError(error, "upload_not_found")) return undefined;
    throw error;
  }
}

/**
 * Whether a 104 may go before the answer: the operator has turned them on, and the client speaks a
 * version that has them. Whoever is not told the address so cannot resume.
 */
export function mayInform({ request }: Exchange, { named }: Spoken): boolean {
  const { uploadResumptionSupported } = request.server.httpRuntime.config;
  return named && uploadResumptionSupported && request.raw.httpVersion !== "1.0";
}

export function inform(
  exchange: Exchange,
  spoken: Spoken,
  headers: Readonly<Record<string, string>>,
): void {
  if (!mayInform(exchange, spoken)) return;
  const version = { "upload-draft-interop-version": String(spoken.dialect.version) };
  sendInformation(exchange.reply, 104, { ...version, ...headers });
}

const progressMsMin = 1000;

/** Tells durable offsets while the body comes, at most once a second. */
export function progressOf(
  { clock }: RestServices,
  exchange: Exchange,
  spoken: Spoken,
): (offset: number) => void {
  let toldAtMs = clock.monotonicMs();
  if (!spoken.dialect.progress) return () => {};
  return (offset) => {
    const nowMs = clock.monotonicMs();
    if (nowMs - toldAtMs < progressMsMin) return;
    toldAtMs = nowMs;
    inform(exchange, spoken, { "upload-offset": String(offset) });
  };
}
