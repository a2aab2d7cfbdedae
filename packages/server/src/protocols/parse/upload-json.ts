/**
 * An upload in JSON, as text/plain: the file first, in base64, and the credentials last. It is decoded as it comes
 * and staged in a storage; only when the credentials at its end are good is it published, else it is removed.
 */
import { OperationalError } from "../../core/errors.ts";
import { freeChunk, shrinkChunk } from "../../core/ports/given-chunks.ts";
import type { Body } from "../../core/ports/storage-driver.ts";
import { clientAddress, receiveBody, requestSignal } from "../../http/index.ts";
import { admit } from "./admit.ts";
import { ensureBucket } from "./bucket.ts";
import { credentialsOfFields } from "./credentials.ts";
import { describedObject, type FileData } from "./described.ts";
import { nameAndType } from "./file-type.ts";
import { JsonUploadReader, restBytesMax } from "./json-reader.ts";
import { renderSaved } from "./saved.ts";
import { senderOf } from "./sender.ts";
import type { Exchange, ParseServices } from "./services.ts";
import { emptyFile, planUpload, replayId } from "./upload-plan.ts";

export async function uploadJson(services: ParseServices, exchange: Exchange, name: string) {
  const { request, reply } = exchange;
  const { applications, staged: uploads } = services;
  const signal = requestSignal(request);
  const { bytesMax } = applications;
  const { body } = receiveBody(request, reply, {
    // Four digits for three bytes, and room for line ends.
    bytesMax: Math.ceil(bytesMax * 1.5) + restBytesMax,
    bytesMaxName: "maxUploadSize",
  });
  const reader = new JsonUploadReader();
  const { contentType: likelyType } = nameAndType(name, undefined);
  await using staged = await uploads.stage({
    sender: senderOf(clientAddress(request).address),
    body: decoded(body, reader, bytesMax),
    likely: {
      bucket: applications.likelyBucket,
      key: name,
      ...(likelyType === undefined ? {} : { contentType: likelyType }),
    },
    signal,
  });
  const fields = reader.end();
  const text = textOf(fields);
  const caller = await admit(services, request, credentialsOfFields(text));
  const data = fileDataOf(fields.get("fileData"));
  const contentType = text("_ContentType");
  const { key, file, described } = planUpload(caller, { name, contentType, data });
  if (staged.length === 0) throw emptyFile();
  if (staged.length > caller.application.bytesMax) throw tooLarge(caller.application.bytesMax);
  const saved = await services.replays.once(replayId(request, caller, name), async () => {
    await ensureBucket(services, caller, key);
    const { object } = await staged.publish(caller.actor, {
      bucket: caller.application.config.bucket,
      key,
      ...(file.contentType === undefined ? {} : { contentType: file.contentType }),
      ...described,
      signal,
    });
    return object.key;
  });
  return renderSaved(services, exchange, { caller, key: saved });
}

/** The bytes of the file; the rest stays with the reader. */
async function* decoded(
  source: AsyncIterable<Uint8Array>,
  reader: JsonUploadReader,
  bytesMax: number,
): Body {
  let total = 0;
  for await (const chunk of source) {
    const length = reader.push(chunk);
    total += length;
    if (total > bytesMax) throw tooLarge(bytesMax);
    if (length > 0) yield shrinkChunk(chunk, length);
    else freeChunk(chunk);
  }
}

function textOf(fields: ReadonlyMap<string, unknown>): (name: string) => string | undefined {
  return (name) => {
    const value = fields.get(name);
    return typeof value === "string" && value !== "" ? value : undefined;
  };
}

/** Code 107. */
function fileDataOf(value: unknown): FileData {
  const { metadata, tags, directory } = describedObject(value, "fileData");
  return {
    metadata: describedObject(metadata, "fileData.metadata"),
    tags: describedObject(tags, "fileData.tags"),
    ...(typeof directory === "string" && directory !== "" ? { directory } : {}),
  };
}

function tooLarge(bytesMax: number): OperationalError {
  const message = `the file is larger than the limit of ${bytesMax} bytes (maxUploadSize)`;
  return new OperationalError("too_large", message, { context: { maxUploadSize: bytesMax } });
}
