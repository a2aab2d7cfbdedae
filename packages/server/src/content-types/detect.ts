/**
 * What a body is, by its first bytes: magic numbers by the file-type library, markup and plain text
 * by a look of our own. What the bytes show wins over what the client declared; the declaration
 * only refines it (a `.docx` is a zip) or stands where bytes show nothing (CSV is text).
 */
import { isUtf8 } from "node:buffer";
import { fileTypeFromBuffer } from "file-type";
import { essenceOf } from "../core/content-type.ts";
import type { TypeDetector } from "../core/ports/type-detector.ts";
import { familyOf, isAlwaysRecognised } from "./families.ts";

const unknownType = "application/octet-stream";

/** As many as file-type looks at. */
const bytesWanted = 4100;

export const typeDetector: TypeDetector = {
  bytesWanted,
  async detect(firstBytes, declared) {
    const claim = declared === undefined ? unknownType : essenceOf(declared);
    const kept = declared === undefined || claim === unknownType ? undefined : declared;
    // Nothing contradicts a claim about no bytes.
    if (firstBytes.length === 0) return kept ?? unknownType;
    const shown = (await fileTypeFromBuffer(firstBytes))?.mime;
    if (shown !== undefined && shown !== "application/xml") return refine(shown, claim, kept);
    const markup = markupOf(firstBytes);
    if (markup !== undefined) return judgeMarkup(markup, claim, kept);
    if (kept === undefined) return isText(firstBytes) ? "text/plain; charset=utf-8" : unknownType;
    return isAlwaysRecognised(claim) ? unknownType : kept;
  },
};

/** The bytes have a magic number: the claim stays if it is of the same family. */
function refine(shown: string, claim: string, kept: string | undefined): string {
  return kept !== undefined && familyOf(claim) === familyOf(shown) ? kept : shown;
}

/** Markup may be claimed to be any text (served so, no browser runs it) but never an image. */
function judgeMarkup(markup: string, claim: string, kept: string | undefined): string {
  if (kept === undefined) return markup;
  if (markup === "application/xml" && (claim.endsWith("+xml") || claim === "text/xml")) return kept;
  if (markup === "text/html" && claim === "application/xhtml+xml") return kept;
  return claim.startsWith("text/") || claim === markup ? kept : markup;
}

const htmlStarts = ["<!doctype html", "<html", "<head", "<body", "<script", "<iframe", "<style"];

/** WHATWG MIME Sniffing §7.1, in short: white space, then a known tag. */
function markupOf(bytes: Uint8Array): string | undefined {
  const start = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 1024))
    .toString("latin1")
    .replace(/^(?:\xef\xbb\xbf)?\s+|^\xef\xbb\xbf/, "")
    .toLowerCase();
  if (!start.startsWith("<")) return undefined;
  if (htmlStarts.some((tag) => start.startsWith(tag))) return "text/html";
  const isXml = start.startsWith("<?xml") || start.startsWith("<!doctype");
  if (start.startsWith("<svg") || (isXml && start.includes("<svg"))) return "image/svg+xml";
  if (start.startsWith("<!--") && start.includes("<html")) return "text/html";
  if (!isXml) return undefined;
  return start.includes("<html") ? "application/xhtml+xml" : "application/xml";
}

/** UTF-8 without the control characters that no text has. A character cut at the end is no fault. */
function isText(bytes: Uint8Array): boolean {
  for (const byte of bytes) if (byte < 0x20 && !textControls.has(byte)) return false;
  return isUtf8(bytes.subarray(0, wholeCharactersEnd(bytes)));
}

/** Tab, line feed, form feed, carriage return. */
const textControls: ReadonlySet<number> = new Set([0x09, 0x0a, 0x0c, 0x0d]);

/** Where the last character begins if the end may have cut it, else the end. */
function wholeCharactersEnd(bytes: Uint8Array): number {
  if (bytes.length < bytesWanted) return bytes.length;
  for (let back = 1; back <= 3; back += 1) {
    if (((bytes[bytes.length - back] ?? 0) & 0xc0) === 0xc0) return bytes.length - back;
  }
  return bytes.length;
}
