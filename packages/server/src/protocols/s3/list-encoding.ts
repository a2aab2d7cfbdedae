/** `encoding-type=url`: how names stand in lists for clients whose XML readers lose control characters. */
import { wrongArgument } from "./query.ts";

/** Left out: as text, escaped for XML. */
export type ListEncoding = "url" | undefined;

/** `InvalidArgument` for another. */
export function listEncoding(text: string | undefined): ListEncoding {
  if (text === undefined || text === "") return undefined;
  if (text.toLowerCase() !== "url") throw wrongArgument("encoding-type", text, "must be url");
  return "url";
}

/** Slashes stay; a plus is encoded, since clients decode one as a space. */
export function encodeListed(text: string, encoding: ListEncoding): string {
  if (encoding === undefined) return text;
  return encodeURIComponent(text)
    .replaceAll("%2F", "/")
    .replaceAll(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}
