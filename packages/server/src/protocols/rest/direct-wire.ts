/** Direct uploads as the contract's JSON. */
import type {
  DirectChecksumsJson,
  DirectUploadJson,
  SignedFormJson,
  SignedRequestJson,
  SignedRequestsJson,
} from "@roma/contract";
import type {
  DirectView,
  FormRequest,
  PartRequest,
  SignedDirect,
} from "../../core/direct/index.ts";
import type { Digests } from "../../core/ports/storage-driver.ts";
import { basePath } from "./address.ts";

/** A whole in one piece has one request, which has no number on the wire. */
const putName = "put";

/** `origin`: where clients reach the server. */
export function directUploadJson(upload: DirectView, origin: string): DirectUploadJson {
  const { id, bucket, key, length, via, partBytes, partCount, parts } = upload;
  const [first] = upload.requests;
  const { challenge } = upload;
  const standing = { id, bucket, key, length, via, expiresAt: upload.expiresAt.toISOString() };
  if (challenge !== undefined) {
    const { nonce, ranges } = challenge;
    const asked = { nonce: Buffer.from(nonce).toString("hex"), ranges };
    return { ...standing, transfer: { kind: "proof", challenge: asked } };
  }
  if (upload.form !== undefined) {
    const form = signedFormJson(id, upload.form, origin);
    const [posted] = parts;
    const received = posted === undefined ? null : { length: posted.length, etag: posted.etag };
    return { ...standing, transfer: { kind: "form", form, received } };
  }
  if (partCount === 1 && first !== undefined) {
    const request = signedRequestJson(id, first, origin);
    return { ...standing, transfer: { kind: "put", request } };
  }
  const { requests } = signedRequestsJson(id, { requests: upload.requests, partCount }, origin);
  return { ...standing, transfer: { kind: "parts", partBytes, partCount, requests, parts } };
}

export function signedRequestsJson(
  uploadId: string,
  { requests, partCount, form }: SignedDirect,
  origin: string,
): SignedRequestsJson {
  const named = requests.map((request) => {
    const name = partCount === 1 ? putName : String(request.number);
    return [name, signedRequestJson(uploadId, request, origin)] as const;
  });
  const shown = form === undefined ? {} : { form: signedFormJson(uploadId, form, origin) };
  return { requests: Object.fromEntries(named), ...shown };
}

function signedFormJson(uploadId: string, form: FormRequest, origin: string): SignedFormJson {
  const standing = { method: "POST", expiresAt: form.expiresAt.toISOString() } as const;
  if (form.to === "storage") return { ...standing, url: form.url, fields: form.fields };
  const { expiresSeconds, signature } = form;
  const fields = { expires: String(expiresSeconds), signature };
  return { ...standing, url: `${origin}${basePath}/uploads/${uploadId}/form`, fields };
}

function signedRequestJson(
  uploadId: string,
  request: PartRequest,
  origin: string,
): SignedRequestJson {
  const expiresAt = request.expiresAt.toISOString();
  if (request.to === "storage") {
    const { url, headers } = request;
    return { method: "PUT", url, headers, expiresAt };
  }
  const { number, expiresSeconds, signature } = request;
  const path = `${basePath}/uploads/${uploadId}/parts/${number}`;
  const url = `${origin}${path}?expires=${expiresSeconds}&signature=${signature}`;
  return { method: "PUT", url, headers: {}, expiresAt };
}

type Optional<T> = { readonly [K in keyof T]?: T[K] | undefined };

export function digestsOf(checksums: Optional<DirectChecksumsJson> = {}): Digests {
  return Object.fromEntries(
    Object.entries(checksums).flatMap(([name, hex]) =>
      hex === undefined ? [] : [[name, new Uint8Array(Buffer.from(hex, "hex"))] as const],
    ),
  );
}
