// The little XML that storages speak: a reader that keeps elements and their text, and the documents
// that are written. Bounded in depth and count; a DTD, or an entity that is not XML's own, is an error,
// so that an answer cannot make us expand or fetch anything.

import type { CorsRule } from "../../core/ports/cors-rule.ts";

export interface XmlElement {
  readonly name: string;
  /** Its own text, entities resolved, not trimmed. */
  readonly text: string;
  readonly children: readonly XmlElement[];
}

const depthMax = 16;
const elementsMax = 100_000;

interface Open {
  readonly name: string;
  text: string;
  readonly children: XmlElement[];
}

/** Throws a SyntaxError for what is not well-formed, or beyond the bounds. */
export function parseXml(text: string): XmlElement {
  const stack: Open[] = [{ name: "", text: "", children: [] }];
  let count = 0;
  let position = text.startsWith("\ufeff") ? 1 : 0;
  while (position < text.length) {
    const top = stack.at(-1);
    if (top === undefined) throw broken("an element ends that did not begin");
    const open = text.indexOf("<", position);
    const end = open === -1 ? text.length : open;
    if (end > position) top.text += resolveEntities(text.slice(position, end));
    if (open === -1) break;
    if (text.startsWith("<![CDATA[", open)) {
      const close = find(text, "]]>", open);
      top.text += text.slice(open + 9, close);
      position = close + 3;
    } else if (text.startsWith("<!--", open)) {
      position = find(text, "-->", open) + 3;
    } else if (text.startsWith("<?", open)) {
      position = find(text, "?>", open) + 2;
    } else if (text.startsWith("<!", open)) {
      throw broken("a document type");
    } else {
      const close = tagEnd(text, open);
      const tag = text.slice(open + 1, close);
      position = close + 1;
      if (tag.startsWith("/")) {
        const name = localName(tag.slice(1).trim());
        if (stack.length < 2 || top.name !== name) throw broken(`</${name}> ends another element`);
        stack.pop();
      } else {
        count += 1;
        if (count > elementsMax) throw broken("too many elements");
        if (stack.length > depthMax) throw broken("elements nested too deeply");
        const empty = tag.endsWith("/");
        const name = localName(/^[^\s/]+/.exec(tag)?.[0] ?? "");
        if (name === "") throw broken("an element without a name");
        const element = { name, text: "", children: [] };
        top.children.push(element);
        if (!empty) stack.push(element);
      }
    }
  }
  const [root] = stack[0]?.children ?? [];
  if (stack.length !== 1 || root === undefined) throw broken("an element that does not end");
  if (stack[0]?.children.length !== 1) throw broken("more than one root");
  return root;
}

/** The text of the first child of that name. */
export function textOf(element: XmlElement, name: string): string | undefined {
  return element.children.find((child) => child.name === name)?.text;
}

export function childrenOf(element: XmlElement, name: string): readonly XmlElement[] {
  return element.children.filter((child) => child.name === name);
}

/** The list that completes an upload, in the order given. */
export function completeXml(
  parts: readonly { readonly partNumber: number; readonly etag: string }[],
): string {
  const rows = parts.map(
    ({ partNumber, etag }) =>
      `<Part><PartNumber>${partNumber}</PartNumber><ETag>${escapeXml(`"${etag}"`)}</ETag></Part>`,
  );
  const namespace = "http://s3.amazonaws.com/doc/2006-03-01/";
  return `<CompleteMultipartUpload xmlns="${namespace}">${rows.join("")}</CompleteMultipartUpload>`;
}

/** The list of keys to delete; the answer names only those that stay. */
export function deleteXml(keys: readonly string[]): string {
  const rows = keys.map((key) => `<Object><Key>${escapeXml(key)}</Key></Object>`);
  return `<?xml version="1.0" encoding="UTF-8"?>\n<Delete><Quiet>true</Quiet>${rows.join("")}</Delete>`;
}

/** The rules of a bucket for pages of other origins, and what else stood beside them. */
export function corsXml(rules: readonly CorsRule[], others: readonly XmlElement[]): string {
  const rows = rules.map(({ id, maxAgeSeconds, ...rule }) =>
    [
      ...(id === undefined ? [] : [elementXml("ID", id)]),
      ...rule.allowedOrigins.map((value) => elementXml("AllowedOrigin", value)),
      ...rule.allowedMethods.map((value) => elementXml("AllowedMethod", value)),
      ...rule.allowedHeaders.map((value) => elementXml("AllowedHeader", value)),
      ...rule.exposeHeaders.map((value) => elementXml("ExposeHeader", value)),
      ...(maxAgeSeconds === undefined ? [] : [elementXml("MaxAgeSeconds", String(maxAgeSeconds))]),
    ].join(""),
  );
  const text = [
    ...rows.map((row) => `<CORSRule>${row}</CORSRule>`),
    ...others.map((other) => elementXml(other.name, other.text)),
  ];
  return `<?xml version="1.0" encoding="UTF-8"?>\n<CORSConfiguration>${text.join("")}</CORSConfiguration>`;
}

function elementXml(name: string, text: string): string {
  return `<${name}>${escapeXml(text)}</${name}>`;
}

const escapes: Readonly<Record<string, string>> = {
  "<": "&lt;",
  ">": "&gt;",
  "&": "&amp;",
  '"': "&quot;",
  "'": "&apos;",
  "\r": "&#13;",
};

/** Of a text that goes into an element. */
export function escapeXml(text: string): string {
  return text.replaceAll(/[<>&"'\r]/g, (char) => escapes[char] ?? char);
}

const entities: Readonly<Record<string, string>> = {
  lt: "<",
  gt: ">",
  amp: "&",
  quot: '"',
  apos: "'",
};

function resolveEntities(text: string): string {
  if (!text.includes("&")) return text;
  return text.replaceAll(/&([^;&]{0,12})(;?)/g, (_all, name: string, end: string) => {
    const known = Object.hasOwn(entities, name) ? entities[name] : undefined;
    if (end === "" || (known === undefined && !name.startsWith("#"))) {
      throw broken("an unknown entity");
    }
    if (known !== undefined) return known;
    const digits = /^#(?:x([0-9a-fA-F]{1,6})|([0-9]{1,7}))$/.exec(name);
    const code = digits?.[1] === undefined ? Number(digits?.[2]) : Number.parseInt(digits[1], 16);
    if (!Number.isInteger(code) || code > 0x10ffff) throw broken("an unknown character");
    return String.fromCodePoint(code);
  });
}

/** The `>` that ends a tag; one within an attribute's quotes does not. */
function tagEnd(text: string, from: number): number {
  let quote = "";
  for (let index = from + 1; index < text.length; index += 1) {
    const char = text[index] ?? "";
    if (quote !== "") {
      if (char === quote) quote = "";
    } else if (char === '"' || char === "'") quote = char;
    else if (char === ">") return index;
    else if (char === "<") break;
  }
  throw broken("a tag that does not end");
}

function find(text: string, end: string, from: number): number {
  const at = text.indexOf(end, from);
  if (at === -1) throw broken(`no ${end}`);
  return at;
}

function localName(name: string): string {
  return name.slice(name.indexOf(":") + 1);
}

function broken(message: string): SyntaxError {
  return new SyntaxError(`not the XML of a storage: ${message}`);
}
