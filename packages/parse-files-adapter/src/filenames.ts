/** Which names files may have: letters of every script, where parse-server by itself knows ASCII alone. */

const charactersMax = 128;
// Of ASCII what parse-server takes, beyond it every script: the rule of the server's own `/parse/files`. No slash: a
// directory is put in front by parse-server, and checked there. U+200D joins emoji; what changes the direction of text
// is no part of a name.
const name =
  /^(?:[_a-zA-Z0-9]|[[\p{L}\p{N}\p{P}\p{S}]--[\0-\x7f]])(?:[a-zA-Z0-9@. ~_\u200d\-]|[[\p{L}\p{M}\p{N}\p{P}\p{S}\p{Zs}]--[\0-\x7f]])*$/v;

/**
 * Why a file cannot have this name, or `null` if it can. For `validateFilename` of parse-server, which answers 122
 * with it.
 */
export function validateFilename(filename: string): string | null {
  if (filename.length > 2 * charactersMax || [...filename].length > charactersMax) {
    return `Filename too long: at most ${charactersMax} characters.`;
  }
  if (!name.test(filename)) {
    return "Filename contains invalid characters.";
  }
  return null;
}
