/**
 * `POST` to a bucket: a form as browsers send it, whose policy says what may be stored. Fields before the
 * file count, the file is streamed, what comes after it is passed over. Nothing is stored unless every
 * condition of the policy holds.
 */
import { safeParse as parseContentType } from "fast-content-type-parse";
import {
  authenticateS3Form,
  formKey,
  type LengthRange,
  withOrigin,
} from "../../../authentication/index.ts";
import { isOperationalError } from "../../../core/errors.ts";
import { parseKey } from "../../../core/object-key.ts";
import type { ObjectRecord } from "../../../core/ports/metadata-store.ts";
import type { Body } from "../../../core/ports/storage-driver.ts";
import { etagField, publicOrigin, receiveBody, requestSignal } from "../../../http/index.ts";
import { type FormPart, formBoundary, readForm } from "../../../http/multipart-form.ts";
import { objectPath } from "../address.ts";
import { refusal } from "../errors.ts";
import type { Exchange, Handler, S3Services } from "../services.ts";
import { parseXml, renderXml, xmlType } from "../xml.ts";
import {
  checksumAlgorithms,
  checksumAttributes,
  declaredChecksum,
  declaredMd5,
} from "./checksums.ts";
import { describeObject } from "./described.ts";
import { FormFields, type PostFields } from "./post-fields.ts";
import { writtenHeaders } from "./put.ts";
import { entityTooLarge, invalidArgument, putBytesMax } from "./refusals.ts";
import { parseDocument } from "./tagging.ts";
import { tagAttributes } from "./tags.ts";

export const postObject =
  (services: S3Services): Handler =>
  async (exchange) => {
    const { request, reply } = exchange;
    const boundary = boundaryOf(exchange);
    const { body } = receiveBody(request, reply);
    const fields = new FormFields();
    let stored: { readonly object: ObjectRecord; readonly fields: PostFields } | undefined;
    for await (const part of partsOf(body, boundary)) {
      if (stored !== undefined) continue;
      if (part.name.toLowerCase() !== "file") {
        await fields.add(part);
        continue;
      }
      stored = { object: await storeFile(services, exchange, { part, fields }), fields };
    }
    if (stored === undefined) {
      throw invalidArgument("POST requires exactly one file upload per request.", {
        ArgumentName: "file",
        ArgumentValue: "0",
      });
    }
    return sendStored(services, exchange, stored.object, stored.fields);
  };

function boundaryOf({ request }: Exchange): string {
  const { type, parameters } = parseContentType(request.headers["content-type"] ?? "");
  if (type !== "multipart/form-data") {
    throw refusal(
      "PreconditionFailed",
      "Bucket POST must be of the enclosure-type multipart/form-data",
    );
  }
  return malformedAsS3(() => formBoundary(type, parameters));
}

/** What the form itself has wrong, in the words of S3. */
async function* partsOf(body: Body, boundary: string): AsyncGenerator<FormPart> {
  try {
    yield* readForm(body, boundary);
  } catch (error) {
    throw malformedForm(error);
  }
}

function malformedAsS3<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw malformedForm(error);
  }
}

function malformedForm(error: unknown): unknown {
  if (!isOperationalError(error, "invalid_request")) return error;
  return refusal(
    "MalformedPOSTRequest",
    `The body of your POST request is not well-formed multipart/form-data: ${error.message}`,
    { cause: error },
  );
}

async function storeFile(
  services: S3Services,
  { request, bucket }: Exchange,
  { part, fields }: { readonly part: FormPart; readonly fields: PostFields },
): Promise<ObjectRecord> {
  const sent = fields.text("key");
  if (sent === undefined || sent === "") {
    throw invalidArgument(
      "Bucket POST must contain a field named 'key'.  If it is specified, please check the order of the fields.",
      { ArgumentName: "key", ArgumentValue: "" },
    );
  }
  const key = formKey(sent, part.fileName ?? "");
  const form = { bucket, fields: fields.all, key };
  const { actor: signer, lengthRange } = await authenticateS3Form(services, form);
  const actor = withOrigin(signer, request, "s3");
  fields.assertOffered();
  const headers = Object.fromEntries(fields.all);
  const checksum = declaredChecksum(headers);
  if (checksum !== undefined && checksum.value === undefined) {
    throw refusal("InvalidRequest", "a form has no trailer");
  }
  const tagging = fields.text("tagging");
  const tags =
    tagging === undefined
      ? []
      : parseDocument(parseXml(Buffer.from(tagging), { bytesMax: Buffer.byteLength(tagging) }));
  const described = describeObject(fields);
  const { object } = await services.uploads.put(actor, {
    bucket,
    key: parseKey(key),
    ...described,
    attributes: {
      ...described.attributes,
      ...tagAttributes(tags),
      ...checksumAttributes(checksum?.algorithm),
    },
    body: ranged(part.body, lengthRange ?? { min: 0, max: putBytesMax }),
    digests: {
      ...declaredMd5(headers),
      ...(checksum?.value === undefined
        ? {}
        : { [checksumAlgorithms[checksum.algorithm].digest]: checksum.value }),
    },
    digestsWanted: ["md5"],
    signal: requestSignal(request),
  });
  return object;
}

/** Throws at the byte that is too many, and at the end if there are too few: before anything is visible. */
async function* ranged(body: Body, { min, max }: LengthRange): Body {
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > max || bytes > putBytesMax) throw entityTooLarge(bytes, Math.min(max, putBytesMax));
    yield chunk;
  }
  if (bytes < min) {
    throw refusal(
      "EntityTooSmall",
      "Your proposed upload is smaller than the minimum allowed size",
      {
        fields: { ProposedSize: bytes, MinSizeAllowed: min },
      },
    );
  }
}

function sendStored(
  { publicUrl }: S3Services,
  { request, reply, bucket, basePath }: Exchange,
  object: ObjectRecord,
  fields: PostFields,
) {
  const origin = publicOrigin(request, publicUrl === undefined ? {} : { publicUrl });
  const location = `${origin}${objectPath(basePath, bucket, object.key)}`;
  reply.headers(writtenHeaders(object));
  const redirect = redirectOf(fields, object);
  if (redirect !== undefined) return reply.code(303).header("location", redirect).send();
  reply.header("location", location);
  const status = fields.text("success_action_status");
  if (status === "200") return reply.code(200).send();
  if (status !== "201") return reply.code(204).send();
  const document = renderXml(
    "PostResponse",
    { Location: location, Bucket: bucket, Key: object.key, ETag: etagField(object) },
    { namespace: false },
  );
  return reply.code(201).type(xmlType).send(Buffer.from(document));
}

/** What is no URL of the web is passed over, as AWS does. */
function redirectOf(fields: PostFields, object: ObjectRecord): string | undefined {
  const text = fields.text("success_action_redirect") ?? fields.text("redirect") ?? "";
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  if (!["http:", "https:"].includes(url.protocol)) return undefined;
  url.searchParams.append("bucket", object.bucket);
  url.searchParams.append("key", object.key);
  url.searchParams.append("etag", etagField(object));
  return url.href;
}
