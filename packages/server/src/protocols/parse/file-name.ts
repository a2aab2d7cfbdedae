/** The names of files: what clients may call them, and what they are stored as. */
import { randomBytes } from "node:crypto";
import { type ObjectKey, parseKey } from "../../core/object-key.ts";
import type { Application } from "./applications.ts";
import { invalidName } from "./errors.ts";

const nameCharactersMax = 128;
const directoryCharactersMax = 256;

/**
 * Of ASCII what parse-server takes; beyond it letters, digits, marks, punctuation, symbols and spaces of every
 * script. No control character and no mark that changes the direction of text; U+200D joins emoji.
 */
const namePattern =
  /^(?:[_a-zA-Z0-9]|[[\p{L}\p{N}\p{P}\p{S}]--\p{ASCII}])(?:[a-zA-Z0-9@. ~_\u200d\-]|[[\p{L}\p{M}\p{N}\p{P}\p{S}\p{Zs}]--\p{ASCII}])*$/v;

/** Code 122. */
export function checkFileName(name: string): void {
  if (name === "") throw invalidName("Filename not provided.");
  if ([...name].length > nameCharactersMax) {
    throw invalidName(`Filename too long: it has more than ${nameCharactersMax} characters.`);
  }
  if (!namePattern.test(name)) throw invalidName("Filename contains invalid characters.");
}

/** Code 122. */
export function checkDirectory(directory: string): void {
  if (directory.length > directoryCharactersMax) {
    throw invalidName(`Directory too long: it has more than ${directoryCharactersMax} characters.`);
  }
  const segments = directory.split("/");
  if (segments.includes("")) {
    throw invalidName("Directory must not begin or end with a slash, or have two in a row.");
  }
  if (directory.includes("..")) throw invalidName("Directory must not contain '..'.");
  if (segments[0] === "metadata") throw invalidName("Directory must not be 'metadata'.");
  if (!segments.every((segment) => namePattern.test(segment))) {
    throw invalidName("Directory contains invalid characters.");
  }
}

/** With 32 hex digits that nobody can guess in front, unless the application keeps names as they are. */
export function storedKey(
  fileName: string,
  { application, directory }: { readonly application: Application; readonly directory?: string },
): ObjectKey {
  const isKept = application.config.preserveFileName;
  const name = isKept ? fileName : `${randomBytes(16).toString("hex")}_${fileName}`;
  return parseKey(directory === undefined ? name : `${directory}/${name}`);
}
