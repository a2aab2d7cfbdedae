/** An upload whose body is the file, sent whole or as a stream: its header fields say all else. */
import type { Body } from "../../core/ports/storage-driver.ts";
import { declaredLength, receiveBody, requestDigests, requestSignal } from "../../http/index.ts";
import type { Caller } from "./admit.ts";
import { ensureBucket } from "./bucket.ts";
import { renderSaved } from "./saved.ts";
import type { Exchange, ParseServices } from "./services.ts";
import { bytesMaxOf, fileDataOfHeaders } from "./upload-headers.ts";
import { emptyFile, planUpload, replayId } from "./upload-plan.ts";

export async function uploadBytes(
  services: ParseServices,
  exchange: Exchange,
  { name, caller }: { readonly name: string; readonly caller: Caller },
) {
  const { request, reply } = exchange;
  const data = fileDataOfHeaders(request);
  const contentType = request.headers["content-type"];
  const { key, file, described } = planUpload(caller, { name, contentType, data });
  const bytesMax = bytesMaxOf(request, caller);
  if (declaredLength(request.raw) === 0) throw emptyFile();
  const saved = await services.replays.once(replayId(request, caller, name), async () => {
    const { bucket } = caller.application.config;
    await ensureBucket(services, caller, key);
    const received = receiveBody(request, reply, { bytesMax, bytesMaxName: "maxUploadSize" });
    const { object } = await services.uploads.put(caller.actor, {
      bucket,
      key,
      ...received,
      body: notEmpty(received.body),
      ...(file.contentType === undefined ? {} : { contentType: file.contentType }),
      ...described,
      digests: requestDigests(request.headers),
      signal: requestSignal(request),
    });
    return object.key;
  });
  return renderSaved(services, exchange, { caller, key: saved });
}

async function* notEmpty(body: Body): Body {
  let isEmpty = true;
  for await (const chunk of body) {
    if (chunk.length > 0) isEmpty = false;
    yield chunk;
  }
  if (isEmpty) throw emptyFile();
}
