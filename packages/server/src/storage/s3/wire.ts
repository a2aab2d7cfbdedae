// The answers of a storage that carry XML, parsed: outside input becomes our types here or is
// refused. Names that a vendor leaves out are undefined, never guessed.

import { childrenOf, parseXml, textOf, type XmlElement } from "./xml.ts";

export interface ListedObject {
  readonly key: string;
  readonly length: number;
  readonly etag: string;
  readonly modifiedAt: Date;
}

export interface ObjectPage {
  readonly objects: readonly ListedObject[];
  readonly truncated: boolean;
  readonly token: string | undefined;
}

export interface ListedPart {
  readonly partNumber: number;
  readonly length: number;
  readonly etag: string;
}

export interface PartPage {
  readonly parts: readonly ListedPart[];
  readonly truncated: boolean;
  readonly marker: string | undefined;
}

export interface ListedUpload {
  readonly key: string;
  readonly uploadId: string;
  readonly createdAt: Date;
}

export interface UploadPage {
  readonly uploads: readonly ListedUpload[];
  readonly truncated: boolean;
  readonly keyMarker: string | undefined;
  readonly uploadIdMarker: string | undefined;
}

/** What a storage says of a failure; any of it may be missing. */
export interface ErrorDocument {
  readonly code: string | undefined;
  readonly message: string | undefined;
  readonly region: string | undefined;
  readonly requestId: string | undefined;
}

/** ListBucketResult, version 1 or 2. */
export function parseObjectPage(text: string): ObjectPage {
  const root = parseRoot(text, "ListBucketResult");
  const decode = decoderOf(root);
  return {
    objects: childrenOf(root, "Contents").map((item) => ({
      key: decode(required(item, "Key")),
      length: wholeNumber(item, "Size"),
      etag: bareEtag(textOf(item, "ETag") ?? ""),
      modifiedAt: instant(item, "LastModified"),
    })),
    truncated: textOf(root, "IsTruncated") === "true",
    token: nonEmpty(textOf(root, "NextContinuationToken")),
  };
}

/** ListPartsResult. */
export function parsePartPage(text: string): PartPage {
  const root = parseRoot(text, "ListPartsResult");
  return {
    parts: childrenOf(root, "Part").map((part) => ({
      partNumber: wholeNumber(part, "PartNumber"),
      length: wholeNumber(part, "Size"),
      etag: bareEtag(required(part, "ETag")),
    })),
    truncated: textOf(root, "IsTruncated") === "true",
    marker: nonEmpty(textOf(root, "NextPartNumberMarker")),
  };
}

/** ListMultipartUploadsResult. */
export function parseUploadPage(text: string): UploadPage {
  const root = parseRoot(text, "ListMultipartUploadsResult");
  const decode = decoderOf(root);
  const keyMarker = nonEmpty(textOf(root, "NextKeyMarker"));
  return {
    uploads: childrenOf(root, "Upload").map((upload) => ({
      key: decode(required(upload, "Key")),
      uploadId: required(upload, "UploadId"),
      createdAt: instant(upload, "Initiated"),
    })),
    truncated: textOf(root, "IsTruncated") === "true",
    keyMarker: keyMarker === undefined ? undefined : decode(keyMarker),
    uploadIdMarker: nonEmpty(textOf(root, "NextUploadIdMarker")),
  };
}

/** InitiateMultipartUploadResult. */
export function parseUploadId(text: string): string {
  const id = required(parseRoot(text, "InitiateMultipartUploadResult"), "UploadId");
  if (id === "") throw new SyntaxError("an empty upload id");
  return id;
}

const writeResults: ReadonlySet<string> = new Set([
  "CompleteMultipartUploadResult",
  "CopyObjectResult",
  "CopyPartResult",
]);

/**
 * CompleteMultipartUploadResult, CopyObjectResult or CopyPartResult: the ETag, which may be missing. A 200 answer can
 * hold an error instead.
 */
export function parseWriteResult(
  text: string,
): { readonly etag: string | undefined } | { readonly error: ErrorDocument } {
  const root = parseXml(text);
  if (root.name === "Error") return { error: errorOf(root) };
  if (!writeResults.has(root.name)) {
    throw new SyntaxError(`an answer named ${root.name.slice(0, 40)}`);
  }
  return { etag: nonEmpty(bareEtag(textOf(root, "ETag") ?? "")) };
}

/** DeleteResult: what was not deleted. A 200 answer can hold an error instead. */
export function parseDeleteResult(
  text: string,
):
  | { readonly failed: readonly { readonly key: string; readonly error: ErrorDocument }[] }
  | { readonly error: ErrorDocument } {
  // OBS and OSS may answer nothing at all where nothing failed.
  if (text.trim() === "") return { failed: [] };
  const root = parseXml(text);
  if (root.name === "Error") return { error: errorOf(root) };
  if (root.name !== "DeleteResult") {
    throw new SyntaxError(`${root.name.slice(0, 40)} instead of DeleteResult`);
  }
  const decode = decoderOf(root);
  return {
    failed: childrenOf(root, "Error").map((item) => ({
      key: decode(required(item, "Key")),
      error: errorOf(item),
    })),
  };
}

/** Of whatever came with a failure; an unreadable one says nothing. */
export function parseErrorDocument(text: string): ErrorDocument {
  const nothing = { code: undefined, message: undefined, region: undefined, requestId: undefined };
  if (!text.includes("<Error")) return nothing;
  try {
    const root = parseXml(text);
    return root.name === "Error" ? errorOf(root) : nothing;
  } catch {
    return nothing;
  }
}

/** Without its quotes and the mark of a weak one. */
export function bareEtag(etag: string): string {
  return etag.trim().replace(/^W\//, "").replaceAll('"', "");
}

function errorOf(root: XmlElement): ErrorDocument {
  return {
    code: nonEmpty(textOf(root, "Code")),
    message: nonEmpty(textOf(root, "Message")),
    region: nonEmpty(textOf(root, "Region")),
    requestId: nonEmpty(textOf(root, "RequestId")),
  };
}

function parseRoot(text: string, name: string): XmlElement {
  const root = parseXml(text);
  if (root.name !== name) throw new SyntaxError(`${root.name.slice(0, 40)} instead of ${name}`);
  return root;
}

/** Keys are percent-encoded where the answer says so; there a plus is a space. */
function decoderOf(root: XmlElement): (text: string) => string {
  const encoded = textOf(root, "EncodingType")?.toLowerCase() === "url";
  return encoded ? (text) => decodeURIComponent(text.replaceAll("+", "%20")) : (text) => text;
}

function required(element: XmlElement, name: string): string {
  const text = textOf(element, name);
  if (text === undefined) throw new SyntaxError(`${element.name} without ${name}`);
  return text;
}

function wholeNumber(element: XmlElement, name: string): number {
  const text = required(element, name);
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) throw new SyntaxError(`${name} is not a number`);
  return value;
}

function instant(element: XmlElement, name: string): Date {
  const at = new Date(required(element, name));
  if (Number.isNaN(at.getTime())) throw new SyntaxError(`${name} is not a time`);
  return at;
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}
