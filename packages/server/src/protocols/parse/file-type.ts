/** Extensions and content types: which the name gets, which is declared, and which the application refuses. */
import mime from "mime";
import { essenceOf } from "../../core/content-type.ts";
import { isContentType } from "../../http/index.ts";
import type { Application } from "./applications.ts";
import { saveRefused } from "./errors.ts";

export interface NamedFile {
  /** With the extension of its type, if it came without one. */
  readonly name: string;
  /** Left out: nobody says, the bytes will show. */
  readonly contentType?: string;
}

/** What clients send that never thought about a type. */
const saysNothing: ReadonlySet<string> = new Set([
  "application/octet-stream",
  "application/x-www-form-urlencoded",
]);

/** As parse-server has it: the type of a known extension wins over the declared one. Code 130. */
export function nameAndType(given: string, declared: string | undefined): NamedFile {
  if (declared !== undefined && declared !== "" && !isContentType(declared)) {
    throw saveRefused("Invalid content type: it is not a type like image/png.");
  }
  const essence = essenceOf(declared ?? "");
  const told = essence === "" || saysNothing.has(essence) ? undefined : declared?.trim();
  const extension = extensionOf(given);
  if (extension === undefined) {
    const known = told === undefined ? null : mime.getExtension(essence);
    const name = known === null ? given : `${given}.${known}`;
    return { name, ...(told === undefined ? {} : { contentType: told }) };
  }
  const byName = mime.getType(extension);
  // A parameter, such as the charset, is kept where both mean the same type.
  const contentType = byName === null || byName === essence ? told : byName;
  return { name: given, ...(contentType === undefined ? {} : { contentType }) };
}

/** Judged by the name, and by the type where that says otherwise. Code 130. */
export function assertExtensionAllowed(
  { name, contentType }: NamedFile,
  { config }: Application,
): void {
  const extensions = new Set([extensionOf(name) ?? "", ...extensionsOfType(contentType)]);
  for (const extension of extensions) {
    const isAllowed = config.fileUpload.fileExtensions.some(
      (pattern) => pattern === "*" || new RegExp(pattern, "iu").test(extension),
    );
    if (!isAllowed) throw saveRefused(`File upload of extension ${extension} is disabled.`);
  }
}

function extensionOf(name: string): string | undefined {
  const dot = name.lastIndexOf(".");
  return dot === -1
    ? undefined
    : name
        .slice(dot + 1)
        .trim()
        .toLowerCase();
}

function extensionsOfType(contentType: string | undefined): readonly string[] {
  if (contentType === undefined) return [];
  const known = mime.getExtension(essenceOf(contentType));
  return known === null ? [] : [known];
}
