/**
 * What a write says about its object beside the bytes: content type, the headers that come back as they
 * were sent, metadata, tags. The same for a put, a copy with new metadata, an upload in parts and a form.
 */

import { essenceOf } from "../../../core/content-type.ts";
import { isContentType, storedHeaderNames } from "../../../http/index.ts";
import { invalidArgument, metadataTooLarge } from "./refusals.ts";
import { parseTagging, tagAttributes } from "./tags.ts";

/** A header of the request, or a signed query parameter that stands for one; names in lower case. */
export interface Fields {
  get(name: string): string | undefined;
  /** Names that begin so. */
  names(prefix: string): readonly string[];
}

export interface DescribedObject {
  /** Absent where what was declared says nothing, or is no type. */
  readonly contentType?: string;
  readonly userMetadata: Readonly<Record<string, string>>;
  readonly attributes: Readonly<Record<string, string>>;
}

/** The declared content type word for word: what is shown over S3, where bytes show another. */
export const contentTypeAttribute = "content-type";

const metadataPrefix = "x-amz-meta-";
/** RFC 9110 §5.1, in lower case. */
const namePattern = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
const metadataBytesMax = 2048;
const storedHeaderBytesMax = 4096;

/** `InvalidArgument`, `InvalidTag`, `MetadataTooLarge`. */
export function describeObject(fields: Fields): DescribedObject {
  const declared = fields.get("content-type")?.trim() ?? "";
  assertKept("content-type", declared);
  const saysNothing = ["", "application/octet-stream", "binary/octet-stream"].includes(
    essenceOf(declared),
  );
  return {
    ...(saysNothing || !isContentType(declared) ? {} : { contentType: declared }),
    userMetadata: userMetadata(fields),
    attributes: {
      ...storedAttributes(fields),
      ...(saysNothing ? {} : { [contentTypeAttribute]: declared }),
      ...tagAttributes(parseTagging(fields.get("x-amz-tagging") ?? "")),
    },
  };
}

function storedAttributes(fields: Fields): Readonly<Record<string, string>> {
  const attributes: Record<string, string> = {};
  for (const name of storedHeaderNames) {
    const value = fields.get(name);
    const kept = name === "content-encoding" ? withoutChunked(value ?? "") : (value ?? "");
    if (kept === "") continue;
    assertKept(name, kept);
    attributes[name] = kept;
  }
  return attributes;
}

/** What comes in a form or a query need not be what a header can carry, and will be one of every answer. */
function assertKept(name: string, value: string): void {
  if (value.length <= storedHeaderBytesMax && !hasControls(value)) return;
  throw invalidArgument(`The value of ${name} is not one that can be kept`, { ArgumentName: name });
}

/** The framing of a body in chunks is no coding of the object. */
function withoutChunked(codings: string): string {
  const kept = codings.split(",").map((coding) => coding.trim());
  return kept.filter((coding) => coding !== "" && coding.toLowerCase() !== "aws-chunked").join(",");
}

function userMetadata(fields: Fields): Readonly<Record<string, string>> {
  const metadata: Record<string, string> = Object.create(null);
  let bytes = 0;
  for (const field of fields.names(metadataPrefix)) {
    const name = field.slice(metadataPrefix.length);
    const raw = fields.get(field) ?? "";
    const value = utf8OfBytes(raw);
    if (!namePattern.test(name) || value === undefined || value.includes("\0")) {
      throw invalidArgument(
        "A metadata header has a name that no header has, or a value that is not UTF-8",
        { ArgumentName: field },
      );
    }
    bytes += name.length + raw.length;
    metadata[name] = value;
  }
  if (bytes > metadataBytesMax) throw metadataTooLarge(bytes, metadataBytesMax);
  return metadata;
}

/** Node shows the bytes of headers as Latin-1. */
function utf8OfBytes(text: string): string | undefined {
  if (!/[\x80-\uffff]/.test(text)) return text;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
      Buffer.from(text, "latin1"),
    );
  } catch {
    return undefined;
  }
}

/** Metadata as headers, in the bytes they came in, and how many of them no header can carry. */
export function metadataHeaders(
  metadata: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {};
  let missing = 0;
  for (const [name, value] of Object.entries(metadata)) {
    if (hasControls(value)) missing += 1;
    else headers[metadataPrefix + name] = Buffer.from(value).toString("latin1");
  }
  if (missing > 0) headers["x-amz-missing-meta"] = String(missing);
  return headers;
}

export function hasControls(text: string): boolean {
  // A tab is allowed within a header.
  return [...text].some(
    (character) => (character < " " && character !== "\t") || character === "\x7f",
  );
}
