/** `OPTIONS`: resources that take resumable uploads say so, with their limits. */
import { objectBytesMax } from "@roma/contract";
import { isAllowed } from "../../core/access.ts";
import { bucketOf, objectAddress } from "./address.ts";
import { uploadLimit } from "./resumable-answers.ts";
import { partialUploadType } from "./resumable-dialects.ts";
import type { Exchange, RestServices } from "./services.ts";

const target = /^\/objects\/[^/]+(?<key>\/.+)?$/;
const resource = /^\/uploads\/[^/]+$/;

/**
 * Of a path under the prefix; none for what takes no content of its own. Who may not write there is told
 * the protocol's limit, and learns nothing of the bucket.
 */
export async function discoveryHeaders(
  { resumable }: RestServices,
  { request, caller: { actor } }: Exchange,
  path: string,
): Promise<Readonly<Record<string, string>>> {
  const acceptPatch = { "accept-patch": partialUploadType };
  if (resource.test(path)) return acceptPatch;
  const found = target.exec(path);
  if (found === null) return {};
  const hasKey = found.groups?.key !== undefined;
  const at = hasKey ? objectAddress(request) : { bucket: bucketOf(request), prefix: "" };
  const mayWrite = isAllowed(actor, "object:write", at);
  const maxBytes = mayWrite ? (await resumable.limits(actor, at.bucket)).maxBytes : objectBytesMax;
  return { ...acceptPatch, "upload-limit": uploadLimit(maxBytes) };
}
