/** The header fields of an upload whose body is the file: `X-Parse-File-*`. */
import type { FastifyRequest } from "fastify";
import { percentDecoded } from "../../http/index.ts";
import { type Caller, isPrivileged } from "./admit.ts";
import { headerText } from "./credentials.ts";
import { type Described, describedObject, type FileData, invalidJson } from "./described.ts";
import { forbidden, saveRefused } from "./errors.ts";

/** Code 107 names the header. */
export function fileDataOfHeaders(request: FastifyRequest): FileData {
  const directory = headerText(request, "x-parse-file-directory");
  return {
    metadata: jsonField(request, "X-Parse-File-Metadata"),
    tags: jsonField(request, "X-Parse-File-Tags"),
    ...(directory === undefined ? {} : { directory: decodedText(directory) }),
  };
}

/** The application's limit, or what the master key says in its place: `50mb`. Codes 119, 130. */
export function bytesMaxOf(request: FastifyRequest, caller: Caller): number {
  const text = headerText(request, "x-parse-file-max-upload-size");
  if (text === undefined) return caller.application.bytesMax;
  if (!isPrivileged(caller)) {
    throw forbidden("X-Parse-File-Max-Upload-Size can only be set using the Master Key.");
  }
  const [, digits = "", unit = "b"] = /^(\d{1,15})\s*(b|kb|mb|gb|tb)?$/i.exec(text.trim()) ?? [];
  const bytes = Number(digits) * 1024 ** unitsBySize.indexOf(unit.toLowerCase());
  if (digits !== "" && Number.isSafeInteger(bytes)) return bytes;
  throw saveRefused("X-Parse-File-Max-Upload-Size is not a size like 50mb.");
}

const unitsBySize: readonly string[] = ["b", "kb", "mb", "gb", "tb"];

/**
 * JSON, as it is or in percent-encoding, which carries what a header cannot. Bytes above ASCII count as the UTF-8
 * that they are.
 */
function jsonField(request: FastifyRequest, name: string): Described {
  const text = headerText(request, name.toLowerCase());
  if (text === undefined) return {};
  const isEncoded = /^\s*%7b/i.test(text);
  const json = isEncoded ? percentDecoded(text) : Buffer.from(text, "latin1").toString("utf8");
  try {
    return describedObject(JSON.parse(json ?? ""), name);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw invalidJson(`${name} is not JSON.`);
  }
}

function decodedText(text: string): string {
  return percentDecoded(text) ?? text;
}
