/** The controller for pages. What is uploaded is a `Blob`: the browser holds its bytes, not the page. */
import { codes, refusalOf, savedOf } from "../refusals.ts";
import {
  credentialFields,
  encodedName,
  type Fields,
  filesAddress,
  uploadFields,
} from "../requests.ts";
import type {
  Downloaded,
  FileController,
  FileControllerOptions,
  FileOptions,
  FileSource,
  ParseSdk,
} from "../sdk.ts";
import { decodedBase64, encodedBase64 } from "./base64.ts";
import { browser } from "./globals.ts";

/** For `Parse.CoreManager.setFileController`. Throws a `TypeError` where `filesURL` is no address. */
export function createFileController(
  parse: ParseSdk,
  controllerOptions: FileControllerOptions = {},
): FileController {
  if (controllerOptions.filesURL !== undefined) filesAddress(parse, controllerOptions);
  const save = async (name: string, source: FileSource, options: FileOptions = {}) => {
    const body = await blobOf(source);
    const fields = {
      ...(await credentialFields(parse, options)),
      ...uploadFields(source.type || body.type, options),
    };
    const url = filesAddress(parse, controllerOptions) + encodeURIComponent(name);
    const answer = await send(parse, { method: "POST", url, fields, body, options });
    return savedOf(parse, answer);
  };
  return {
    saveFile: save,
    saveBase64: save,
    saveBinary: save,
    download: (uri, options = {}) => download(parse, uri, options),
    async deleteFile(name, options = {}) {
      const fields = await credentialFields(parse, options);
      const url = filesAddress(parse, controllerOptions) + encodedName(name);
      const answer = await send(parse, { method: "DELETE", url, fields, body: null, options: {} });
      if (answer.status < 200 || answer.status > 299) {
        throw refusalOf(parse, answer, codes.fileDelete);
      }
    },
  };
}

async function blobOf({ file, base64, stream, format }: FileSource): Promise<Blob> {
  if (file !== undefined) return file;
  if (typeof base64 === "string") return decodedBase64(base64);
  if (stream instanceof ReadableStream) return await new Response(stream).blob();
  throw new TypeError(`a file of the format ${format} cannot be uploaded from a page`);
}

interface Sent {
  readonly method: string;
  readonly url: string;
  readonly fields: Fields;
  readonly body: Blob | null;
  readonly options: FileOptions;
}

function send(
  parse: ParseSdk,
  { method, url, fields, body, options }: Sent,
): Promise<{ readonly status: number; readonly text: string }> {
  const { progress, requestTask } = options;
  return new Promise((resolve, reject) => {
    const request = new browser.XMLHttpRequest();
    request.open(method, url);
    for (const [name, value] of Object.entries(fields)) request.setRequestHeader(name, value);
    const fail = (what: string) => () =>
      reject(new parse.Error(codes.connectionFailed, `The request for a file ${what}`));
    request.onload = () => resolve({ status: request.status, text: request.responseText });
    request.onerror = fail("failed: no connection, or not permitted by CORS");
    request.onabort = fail("was cancelled");
    if (body !== null && progress !== undefined) {
      request.upload.onprogress = ({ loaded, total }) => {
        progress(total === 0 ? null : loaded / total, loaded, total);
      };
    }
    requestTask?.(request);
    request.send(body);
  });
}

/** The bytes behind a URL as base64; `{}` if it was cancelled, as the SDK has it. */
async function download(
  parse: ParseSdk,
  uri: string,
  { progress, requestTask }: FileOptions,
): Promise<Downloaded> {
  const controller = new AbortController();
  requestTask?.(controller);
  try {
    const response = await fetch(uri, { signal: controller.signal });
    if (!response.ok) {
      const text = await response.text();
      throw refusalOf(parse, { status: response.status, text }, codes.fileRead);
    }
    const total = Number(response.headers.get("content-length")) || null;
    const counted = response.body?.pipeThrough(counting(total, progress)) ?? null;
    const blob = await new Response(counted).blob();
    return { base64: await encodedBase64(blob), contentType: response.headers.get("content-type") };
  } catch (error) {
    if (controller.signal.aborted) return {};
    throw error;
  }
}

function counting(total: number | null, progress: FileOptions["progress"]): TransformStream {
  let loaded = 0;
  return new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, output) {
      loaded += chunk.length;
      progress?.(total === null ? null : loaded / total, loaded, total);
      output.enqueue(chunk);
    },
  });
}
