/**
 * `POST /v1/uploads/{id}/form`: the whole of a direct upload as the one file of a form that this server has signed.
 * Its fields are the credential, come before the file, and are good for nothing else.
 */
import { safeParse as parseContentType } from "fast-content-type-parse";
import { OperationalError } from "../../core/errors.ts";
import type { Body } from "../../core/ports/storage-driver.ts";
import { receiveBody, requestSignal } from "../../http/index.ts";
import { type FormPart, formBoundary, readForm } from "../../http/multipart-form.ts";
import { idOf } from "./address.ts";
import { isForm } from "./objects-form.ts";
import type { Handler, RestServices } from "./services.ts";

export const formPath = "/uploads/{id}/form";

/** Before the file, names and values together. */
const fieldsBytesMax = 20 * 1024;

export const postDirectForm =
  ({ direct }: RestServices): Handler =>
  async ({ request, reply, caller }) => {
    if (caller.actor.kind !== "anonymous") throw onlySigned("access_denied");
    if (!isForm(request)) throw onlySigned("unauthenticated");
    const { type, parameters } = parseContentType(request.headers["content-type"] ?? "");
    const boundary = formBoundary(type, parameters);
    const fields = new SignedFields();
    let etag: string | undefined;
    for await (const part of readForm(receiveBody(request, reply).body, boundary)) {
      if (part.fileName === undefined) {
        // As storages do it: what follows the file is not looked at.
        if (etag === undefined) await fields.add(part);
        continue;
      }
      if (etag !== undefined) {
        throw new OperationalError("invalid_request", "the form has more than one file");
      }
      const stored = await direct.putPart({
        uploadId: idOf(request),
        number: 1,
        method: "POST",
        ...fields.signed(),
        open: (length) => exactly(part.body, length),
        signal: requestSignal(request),
      });
      ({ etag } = stored);
    }
    if (etag === undefined) throw new OperationalError("invalid_request", "the form has no file");
    reply.code(201).header("etag", `"${etag}"`);
    return null;
  };

class SignedFields {
  readonly #values = new Map<string, string>();
  #bytes = 0;

  async add(part: FormPart): Promise<void> {
    const chunks: Uint8Array[] = [];
    this.#bytes += part.name.length;
    for await (const chunk of part.body) {
      this.#bytes += chunk.length;
      if (this.#bytes > fieldsBytesMax) {
        const message = `the fields before the file have more than ${fieldsBytesMax} bytes`;
        throw new OperationalError("too_large", message, { context: { fieldsBytesMax } });
      }
      chunks.push(Uint8Array.from(chunk));
    }
    if (this.#values.has(part.name)) {
      throw new OperationalError("invalid_request", "the form has a field twice");
    }
    this.#values.set(part.name, Buffer.concat(chunks).toString());
  }

  signed(): { readonly expiresSeconds: number; readonly signature: string } {
    const signature = this.#values.get("signature");
    const expires = this.#values.get("expires") ?? "";
    if (signature === undefined || !/^\d{1,12}$/.test(expires)) {
      throw onlySigned("unauthenticated");
    }
    return { expiresSeconds: Number(expires), signature };
  }
}

function onlySigned(code: "access_denied" | "unauthenticated"): OperationalError {
  const message =
    "a form is sent with the fields expires and signature before its file, and no other credential";
  return new OperationalError(code, message);
}

/** `incomplete_body`: the file has another length. */
async function* exactly(body: Body, length: number): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > length) throw wrongLength(`more than ${length}`, length);
    yield chunk;
  }
  if (bytes < length) throw wrongLength(`${bytes} of ${length}`, length);
}

function wrongLength(what: string, length: number): OperationalError {
  return new OperationalError("incomplete_body", `the file of the form has ${what} bytes`, {
    context: { declaredBytes: length },
  });
}
