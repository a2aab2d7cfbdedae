/** The controller for Node: every way of saving becomes one streamed request with the bytes as its body. */
import { randomBytes } from "node:crypto";
import type * as http from "node:http";
import { type Answer, codes, isPassing, refusalOf, savedOf } from "../refusals.ts";
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
  SavedFile,
} from "../sdk.ts";
import { bodyOf, type UploadBody } from "./bodies.ts";
import { Aborted, exchange, readAll, Task } from "./exchange.ts";

const answerBytesMax = 1024 * 1024;
const downloadBytesMax = 512 * 1024 * 1024;
// As the SDK does it.
const attemptsMax = 5;
const redirectsMax = 5;

/** For `Parse.CoreManager.setFileController`. Throws a `TypeError` where `filesURL` is no address. */
export function createFileController(
  parse: ParseSdk,
  controllerOptions: FileControllerOptions = {},
): FileController {
  if (controllerOptions.filesURL !== undefined) filesAddress(parse, controllerOptions);
  const save = async (name: string, source: FileSource, options: FileOptions = {}) => {
    const type = source.type || source.file?.type || undefined;
    const fields = {
      ...(await credentialFields(parse, options)),
      ...uploadFields(type, options),
    };
    const url = filesAddress(parse, controllerOptions) + encodeURIComponent(name);
    return await upload(parse, { url, fields, body: bodyOf(source), options });
  };
  return {
    saveFile: save,
    saveBase64: save,
    saveBinary: save,
    download: (uri, options = {}) => download(parse, uri, options),
    async deleteFile(name, options = {}) {
      const fields = await credentialFields(parse, options);
      const url = filesAddress(parse, controllerOptions) + encodedName(name);
      const answer = await ask(parse, { method: "DELETE", url, fields });
      if (answer.status < 200 || answer.status > 299) {
        throw refusalOf(parse, answer, codes.fileDelete);
      }
    },
  };
}

interface Upload {
  readonly url: string;
  readonly fields: Fields;
  readonly body: UploadBody;
  readonly options: FileOptions;
}

/** What can be sent again is, when the connection or the server fails; the server knows it by its id. */
async function upload(parse: ParseSdk, { url, fields, body, options }: Upload): Promise<SavedFile> {
  const { length } = body;
  const { progress, requestTask } = options;
  const headers: Fields = { ...fields, "X-Parse-Request-Id": randomId() };
  if (length === null) headers["Transfer-Encoding"] = "chunked";
  else headers["Content-Length"] = String(length);
  let sent = 0;
  const onSent = (bytes: number) => {
    sent = bytes;
    // The end is told when it is true.
    if (bytes !== length) progress?.(length === null ? null : bytes / length, bytes, length);
  };
  const task = new Task();
  requestTask?.(task);
  const answer = await ask(
    parse,
    { method: "POST", url, fields: headers },
    { attempts: body.repeatable ? attemptsMax : 1, body, onSent, task },
  );
  const saved = savedOf(parse, answer);
  progress?.(1, sent, length === null ? sent : length);
  return saved;
}

interface Asking {
  readonly attempts?: number;
  readonly body?: UploadBody;
  readonly onSent?: (bytes: number) => void;
  readonly task?: Task;
}

async function ask(
  parse: ParseSdk,
  request: { readonly method: string; readonly url: string; readonly fields: Fields },
  { attempts = attemptsMax, body, ...events }: Asking = {},
): Promise<Answer> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const opened = body && { body: body.open(), length: body.length };
      const incoming = await exchange({ ...request, ...events, ...opened });
      const text = (await readAll(incoming, { bytesMax: answerBytesMax })).toString();
      const { statusCode: status = 0 } = incoming;
      if (attempt === attempts || !isPassing(status)) return { status, text };
    } catch (error) {
      if (attempt === attempts || error instanceof Aborted) throw connectionError(parse, error);
    }
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 125 * 2 ** attempt));
  }
}

/** The bytes behind a URL as base64; `{}` if it was cancelled, as the SDK has it. */
async function download(
  parse: ParseSdk,
  uri: string,
  { progress, requestTask }: FileOptions,
): Promise<Downloaded> {
  const task = new Task();
  requestTask?.(task);
  try {
    const incoming = await follow(uri, task);
    const { statusCode: status = 0, headers } = incoming;
    if (status !== 200) {
      const text = (await readAll(incoming, { bytesMax: answerBytesMax })).toString();
      throw refusalOf(parse, { status, text }, codes.fileRead);
    }
    task.follow(() => incoming.destroy(new Aborted()));
    const length = headers["content-length"] === undefined ? null : +headers["content-length"];
    let loaded = 0;
    const bytes = await readAll(incoming, {
      bytesMax: downloadBytesMax,
      onChunk(count) {
        loaded += count;
        progress?.(length ? loaded / length : null, loaded, length);
      },
    });
    return { base64: bytes.toString("base64"), contentType: headers["content-type"] || null };
  } catch (error) {
    if (task.aborted) return {};
    if (error instanceof parse.Error) throw error;
    throw connectionError(parse, error);
  }
}

/** A CDN may answer with another address; uploads never follow one. */
async function follow(uri: string, task: Task): Promise<http.IncomingMessage> {
  let url = uri;
  for (let redirects = 0; ; redirects += 1) {
    const incoming = await exchange({ method: "GET", url, fields: {}, task });
    const { statusCode: status = 0, headers } = incoming;
    const isRedirect = status >= 300 && status < 400 && headers.location !== undefined;
    if (!isRedirect || redirects === redirectsMax) return incoming;
    incoming.resume();
    url = new URL(headers.location ?? "", url).href;
  }
}

function connectionError(parse: ParseSdk, error: unknown): Error {
  const reason = error instanceof Error ? error.message : String(error);
  return new parse.Error(codes.connectionFailed, `The request for a file failed: ${reason}`);
}

function randomId(): string {
  return randomBytes(16).toString("hex");
}
