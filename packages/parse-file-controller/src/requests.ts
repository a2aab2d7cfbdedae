/** Addresses and header fields of requests for files: those of the SDK, in the shape that streams. */
import type { FileControllerOptions, FileOptions, ParseSdk } from "./sdk.ts";

export type Fields = Record<string, string>;

/** Throws a `TypeError` where there is no good address. */
export function filesAddress(parse: ParseSdk, { filesURL }: FileControllerOptions): string {
  const url = filesURL === undefined ? parse.CoreManager.get("SERVER_URL") : filesURL;
  if (typeof url !== "string" || !/^https?:\/\/[^/?#]+[^?#]*$/i.test(url)) {
    throw new TypeError(`filesURL must be an http or https address without query, not ${url}`);
  }
  return `${url.replace(/\/+$/, "")}/files/`;
}

/** A name with its directory, each segment encoded. */
export function encodedName(name: string): string {
  return name.split("/").map(encodeURIComponent).join("/");
}

/** Who asks: application, keys and session, as the SDK decides it. Rejects where the master key is missing. */
export async function credentialFields(parse: ParseSdk, options: FileOptions): Promise<Fields> {
  const { CoreManager } = parse;
  const fields: Fields = { "X-Parse-Application-Id": String(CoreManager.get("APPLICATION_ID")) };
  const javascriptKey = CoreManager.get("JAVASCRIPT_KEY");
  const { useMasterKey = CoreManager.get("USE_MASTER_KEY") } = options;
  if (useMasterKey) {
    const masterKey = CoreManager.get("MASTER_KEY");
    if (!masterKey) throw new Error("Cannot use the Master Key, it has not been provided.");
    fields["X-Parse-Master-Key"] = String(masterKey);
  } else if (javascriptKey) {
    fields["X-Parse-JavaScript-Key"] = String(javascriptKey);
  }
  const token = options.sessionToken || (await currentToken(parse));
  if (token) fields["X-Parse-Session-Token"] = token;
  return fields;
}

/** Beside them, those of an upload. */
export function uploadFields(type: string | undefined, options: FileOptions): Fields {
  const { metadata, tags, directory, maxUploadSize } = options;
  const fields: Fields = {
    "X-Parse-Upload-Mode": "stream",
    "Content-Type": oneLine(type || "application/octet-stream"),
  };
  if (directory) fields["X-Parse-File-Directory"] = asciiText(directory);
  if (hasEntries(metadata)) fields["X-Parse-File-Metadata"] = asciiJson(metadata);
  if (hasEntries(tags)) fields["X-Parse-File-Tags"] = asciiJson(tags);
  if (maxUploadSize) fields["X-Parse-File-Max-Upload-Size"] = oneLine(maxUploadSize);
  return fields;
}

async function currentToken({ CoreManager }: ParseSdk): Promise<string | undefined> {
  const controller = CoreManager.getUserController?.();
  if (!controller) return undefined;
  const user = await controller.currentUserAsync();
  return user?.getSessionToken() || undefined;
}

function hasEntries(value: FileOptions["metadata"]): value is Readonly<Record<string, unknown>> {
  return !!value && Object.keys(value).length > 0;
}

/** JSON that any header field carries: other characters as the escapes that JSON has for them. */
function asciiJson(value: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(value).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${`000${unit.charCodeAt(0).toString(16)}`.slice(-4)}`,
  );
}

function asciiText(text: string): string {
  return oneLine(text).replace(/[^\x20-\x7e]+/g, encodeURIComponent);
}

function oneLine(text: string): string {
  return text.replace(/[\r\n]/g, "");
}
