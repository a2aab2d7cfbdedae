/**
 * `POST /v1/objects/{bucket}`: an HTML form with any number of files, each stored as it streams by.
 * Every file is an object of its own, committed when its last byte is durable: when a later one
 * fails, the refusal lists under `stored` the keys that are there to stay.
 */
import type { FormResultJson, ObjectJson } from "@roma/contract";
import { safeParse as parseContentType } from "fast-content-type-parse";
import type { FastifyRequest } from "fastify";
import { essenceOf } from "../../core/content-type.ts";
import { OperationalError } from "../../core/errors.ts";
import { keyForUpload } from "../../core/grant-writes.ts";
import type { Body } from "../../core/ports/storage-driver.ts";
import { publicOrigin, receiveBody, requestSignal } from "../../http/index.ts";
import { type FormPart, formBoundary, readForm } from "../../http/multipart-form.ts";
import { bucketOf } from "./address.ts";
import { FormFields } from "./form-fields.ts";
import { present } from "./present.ts";
import { refuseForm } from "./refuse.ts";
import type { Exchange, Handler, RestServices } from "./services.ts";
import { objectJson } from "./wire.ts";

/** Files of one form, and its other fields. */
export const formFilesMax = 1000;
export const formFieldsMax = 1000;
/** Bytes of one field that is no file. */
export const formFieldBytesMax = 64 * 1024;

export function isForm({ headers }: FastifyRequest): boolean {
  return essenceOf(headers["content-type"] ?? "") === "multipart/form-data";
}

export const putForm =
  (services: RestServices): Handler =>
  async (exchange) => {
    const stored: ObjectJson[] = [];
    try {
      await storeFiles(services, exchange, stored);
    } catch (error) {
      const keys = stored.map(({ key }) => key);
      refuseForm(error, keys, exchange);
      return exchange.reply;
    }
    exchange.reply.code(201);
    return { objects: stored, url: urlOf(services, exchange, stored) } satisfies FormResultJson;
  };

function urlOf(
  { publicUrl }: RestServices,
  { request }: Exchange,
  [first, ...others]: readonly ObjectJson[],
): string | null {
  if (first === undefined || others.length > 0) return null;
  return `${publicOrigin(request, { publicUrl })}${first.url}`;
}

async function storeFiles(
  { uploads, clock }: RestServices,
  { request, reply, caller }: Exchange,
  stored: ObjectJson[],
): Promise<void> {
  const bucket = bucketOf(request);
  if (caller.bodySha256 !== undefined) {
    // Files are stored before the end of the body, where alone its digest could be known.
    throw new OperationalError("unsupported", "a form is signed with UNSIGNED-PAYLOAD");
  }
  const { type, parameters } = parseContentType(request.headers["content-type"] ?? "");
  const boundary = formBoundary(type, parameters);
  const signal = requestSignal(request);
  const { body } = receiveBody(request, reply);
  const { actor } = caller;
  const fields = new FormFields(
    actor.kind === "grant"
      ? { keyFor: (filename) => keyForUpload(actor, { filename, now: clock.now() }) }
      : {},
  );
  const keys = new Set<string>();
  let fieldCount = 0;
  for await (const part of readForm(body, boundary)) {
    if (part.fileName === undefined) {
      if (++fieldCount > formFieldsMax) throw tooMany("fields", formFieldsMax);
      fields.set(part.name, await receiveField(part));
      continue;
    }
    if (part.fileName === "" && (await isEmpty(part.body))) continue;
    if (stored.length === formFilesMax) throw tooMany("files", formFilesMax);
    const { key, ...described } = fields.take(part);
    if (keys.has(key)) {
      throw new OperationalError("invalid_request", "two files of the form have the same key");
    }
    keys.add(key);
    const request = present({ bucket, key, ...described, body: part.body, signal });
    const { object } = await uploads.put(actor, request);
    stored.push(objectJson(object, actor));
  }
  fields.assertAllUsed();
  if (stored.length === 0) throw new OperationalError("invalid_request", "the form has no file");
}

async function receiveField(part: FormPart): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of part.body) {
    bytes += chunk.length;
    if (bytes > formFieldBytesMax) {
      throw new OperationalError(
        "too_large",
        `a field of the form is larger than the limit of ${formFieldBytesMax} bytes`,
        { context: { formFieldBytesMax } },
      );
    }
    chunks.push(chunk);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.concat(chunks));
  } catch {
    throw new OperationalError("invalid_request", "a field of the form is not UTF-8");
  }
}

/** A file input that was left empty arrives as a file without a name and without a byte. */
async function isEmpty(body: Body): Promise<boolean> {
  for await (const chunk of body) {
    if (chunk.length > 0) {
      throw new OperationalError("invalid_request", "a file of the form has no name");
    }
  }
  return true;
}

function tooMany(what: string, limit: number): OperationalError {
  return new OperationalError("too_large", `the form has more than ${limit} ${what}`, {
    context: { limit },
  });
}
