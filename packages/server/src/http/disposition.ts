/**
 * `Content-Disposition` for names that users chose: always ASCII, always short enough, and never
 * able to end the header or change what a browser does (RFC 6266, RFC 8187).
 */
import { create } from "content-disposition";

/** UTF-8 bytes of a name. File systems take 255; three times as much when percent-encoded. */
const nameBytesMax = 255;

/** Controls, and marks that make a name read in another order than it is. */
const forbidden = /[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029]/gu;

/** The name as it is offered: without path, controls and direction marks, cut at 255 bytes. */
export function safeFilename(name: string): string {
  const base = name.toWellFormed().slice(-16_384).replaceAll(forbidden, "").split(/[/\\]/).at(-1);
  const trimmed = (base ?? "").trim();
  if (trimmed === "" || trimmed === "." || trimmed === "..") return "download";
  if (Buffer.byteLength(trimmed) <= nameBytesMax) return trimmed;
  // The extension says what the file is, so it survives the cut.
  const dot = trimmed.lastIndexOf(".");
  const extension = dot > 0 && trimmed.length - dot <= 16 ? trimmed.slice(dot) : "";
  const stem = extension === "" ? trimmed : trimmed.slice(0, dot);
  return cut(stem, nameBytesMax - Buffer.byteLength(extension)) + extension;
}

/** At most so many UTF-8 bytes, never half a character. */
function cut(text: string, bytesMax: number): string {
  let bytes = 0;
  let kept = "";
  for (const character of text) {
    bytes += Buffer.byteLength(character);
    if (bytes > bytesMax) break;
    kept += character;
  }
  return kept;
}

/** `attachment; filename="…"; filename*=UTF-8''…`, under 1.5 KB whatever the name. */
export function contentDisposition(
  type: "attachment" | "inline",
  name: string | undefined,
): string {
  if (name === undefined) return type;
  const filename = safeFilename(name);
  // The library's own fallback would keep Latin-1, which Node sends as it is.
  const fallback = filename.replaceAll(/[^\x20-\x7e]/gu, "_").replaceAll(/["\\%]/g, "_");
  return create(filename, { type, fallback });
}
