/**
 * The little XML that S3 speaks: a writer of nested values, and a reader that keeps elements and their
 * text. The reader is bounded in bytes, depth and count; a DTD, or an entity that is not XML's own, is
 * refused, so that no document can make us expand or fetch anything.
 */
import { refusal } from "./s3-codes.ts";

export const xmlType = "application/xml";

/**
 * A list repeats its element, `undefined` leaves it out. In an object a name that begins with `@` is an
 * attribute, and `#` the element's own text.
 */
export type XmlValue =
  | string
  | number
  | boolean
  | Date
  | undefined
  | readonly XmlValue[]
  | { readonly [name: string]: XmlValue };

export const xmlNamespace = "http://s3.amazonaws.com/doc/2006-03-01/";

/** A whole document. Without a namespace: errors, where clients find no code in one. */
export function renderXml(
  rootName: string,
  value: XmlValue,
  { namespace = true }: { readonly namespace?: boolean } = {},
): string {
  const pieces = ['<?xml version="1.0" encoding="UTF-8"?>\n'];
  write(pieces, rootName, value, namespace ? ` xmlns="${xmlNamespace}"` : "");
  return pieces.join("");
}

function write(pieces: string[], name: string, value: XmlValue, more = ""): void {
  if (value === undefined) return;
  if (isList(value)) {
    for (const item of value) write(pieces, name, item);
    return;
  }
  if (typeof value !== "object" || value instanceof Date) {
    pieces.push(`<${name}${more}>${escapeXml(textOfValue(value))}</${name}>`);
    return;
  }
  let attributes = more;
  for (const [key, item] of Object.entries(value)) {
    if (key.startsWith("@")) attributes += ` ${key.slice(1)}="${escapeXml(String(item))}"`;
  }
  pieces.push(`<${name}${attributes}>`);
  for (const [key, item] of Object.entries(value)) {
    if (key === "#") pieces.push(escapeXml(String(item)));
    else if (!key.startsWith("@")) write(pieces, key, item);
  }
  pieces.push(`</${name}>`);
}

const isList = (value: XmlValue): value is readonly XmlValue[] => Array.isArray(value);

function textOfValue(value: string | number | boolean | Date): string {
  return value instanceof Date ? value.toISOString() : String(value);
}

const named: Readonly<Record<string, string>> = {
  "<": "&lt;",
  ">": "&gt;",
  "&": "&amp;",
  '"': "&quot;",
};

/** Control characters as references: as themselves a reader would change or refuse them. */
export function escapeXml(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not stay.
  return text.replaceAll(/[<>&"\x00-\x1f\x7f-\x9f\u2028\ufffe\uffff]/g, (char) => {
    return named[char] ?? `&#${char.charCodeAt(0)};`;
  });
}

export interface XmlElement {
  /** Without a prefix. */
  readonly name: string;
  /** Its own text, entities resolved, not trimmed. */
  readonly text: string;
  readonly children: readonly XmlElement[];
}

export interface XmlLimits {
  readonly bytesMax: number;
  readonly depthMax?: number;
  readonly elementsMax?: number;
}

/** The root. `MalformedXML` for what is not well-formed UTF-8 XML, or beyond the limits. */
export function parseXml(bytes: Uint8Array, limits: XmlLimits): XmlElement {
  if (bytes.length > limits.bytesMax) throw malformed(`has more than ${limits.bytesMax} bytes`);
  // No version of XML has this one, and no answer could name what it was part of.
  if (bytes.includes(0)) throw malformed("has a NUL character");
  return new Reader(utf8(bytes), limits).read();
}

/** The first child of that name. */
export function childOf(element: XmlElement, name: string): XmlElement | undefined {
  return element.children.find((child) => child.name === name);
}

export function childrenOf(element: XmlElement, name: string): readonly XmlElement[] {
  return element.children.filter((child) => child.name === name);
}

/** The text of the first child of that name. */
export function childText(element: XmlElement, name: string): string | undefined {
  return childOf(element, name)?.text;
}

/** What a document of a request is refused with. */
export function malformed(what: string) {
  return refusal("MalformedXML", `the XML document ${what}`);
}

const decoder = new TextDecoder("utf-8", { fatal: true });

function utf8(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw malformed("is not UTF-8");
  }
}

interface OpenElement {
  readonly name: string;
  text: string;
  readonly children: XmlElement[];
}

const namePattern = /^(?:[\p{L}_][\p{L}\p{N}._-]*:)?([\p{L}_][\p{L}\p{N}._-]*)$/u;
const attributesPattern = /^(?:\s+[^\s=<>"'/]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*\s*$/;

/** One pass from left to right; its work grows with the document's length alone. */
class Reader {
  readonly #text: string;
  readonly #depthMax: number;
  readonly #elementsMax: number;
  readonly #document: OpenElement = { name: "", text: "", children: [] };
  readonly #stack: OpenElement[] = [this.#document];
  #count = 0;
  #at = 0;

  constructor(text: string, { depthMax = 16, elementsMax = 100_000 }: XmlLimits) {
    this.#text = text;
    this.#depthMax = depthMax;
    this.#elementsMax = elementsMax;
  }

  read(): XmlElement {
    while (this.#at < this.#text.length) {
      const open = this.#text.indexOf("<", this.#at);
      const end = open === -1 ? this.#text.length : open;
      this.#top.text += resolved(this.#text.slice(this.#at, end));
      if (open === -1) break;
      this.#at = open;
      this.#markup();
    }
    const [root, ...more] = this.#document.children;
    if (this.#stack.length !== 1 || root === undefined) throw malformed("does not end");
    if (more.length > 0 || this.#document.text.trim() !== "") throw malformed("has two roots");
    return root;
  }

  get #top(): OpenElement {
    const top = this.#stack.at(-1);
    if (top === undefined) throw malformed("ends an element that did not begin");
    return top;
  }

  #markup(): void {
    if (this.#startsWith("<![CDATA[")) this.#top.text += this.#until("]]>", 9);
    else if (this.#startsWith("<!--")) this.#until("-->", 4);
    else if (this.#startsWith("<?")) this.#declaration(this.#until("?>", 2));
    else if (this.#startsWith("<!")) throw malformed("has a document type");
    else this.#tag(this.#until(">", 1));
  }

  #startsWith(text: string): boolean {
    return this.#text.startsWith(text, this.#at);
  }

  /** What stands between here and the end mark, which is passed. */
  #until(mark: string, skip: number): string {
    const start = this.#at + skip;
    const end = this.#text.indexOf(mark, start);
    if (end === -1) throw malformed("does not end");
    this.#at = end + mark.length;
    return this.#text.slice(start, end);
  }

  #declaration(text: string): void {
    const encoding = /encoding\s*=\s*["']([^"']*)["']/i.exec(text)?.[1] ?? "utf-8";
    if (!/^(?:utf-?8|us-ascii)$/i.test(encoding)) throw malformed("is not declared as UTF-8");
  }

  /** An attribute's value cannot hold `>` here: no document of S3 has one. */
  #tag(tag: string): void {
    if (tag.startsWith("/")) {
      const name = localName(tag.slice(1).trimEnd());
      if (this.#stack.length < 2 || this.#top.name !== name) {
        throw malformed("ends another element than it began");
      }
      this.#stack.pop();
      return;
    }
    if (++this.#count > this.#elementsMax) throw malformed("has too many elements");
    if (this.#stack.length > this.#depthMax) throw malformed("is nested too deeply");
    const isEmpty = tag.endsWith("/");
    const inside = isEmpty ? tag.slice(0, -1) : tag;
    const nameEnd = inside.search(/\s/);
    const name = localName(nameEnd === -1 ? inside : inside.slice(0, nameEnd));
    if (nameEnd !== -1 && !attributesPattern.test(inside.slice(nameEnd))) {
      throw malformed("has a malformed attribute");
    }
    const element = { name, text: "", children: [] };
    this.#top.children.push(element);
    if (!isEmpty) this.#stack.push(element);
  }
}

function localName(text: string): string {
  const name = namePattern.exec(text)?.[1];
  if (name === undefined) throw malformed("has an element with a malformed name");
  return name;
}

const entities: Readonly<Record<string, string>> = {
  lt: "<",
  gt: ">",
  amp: "&",
  quot: '"',
  apos: "'",
};

function resolved(text: string): string {
  if (!text.includes("&")) return text;
  return text.replaceAll(/&([^;&]{0,12});?/g, (whole, name: string) => {
    const known = Object.hasOwn(entities, name) ? entities[name] : undefined;
    const value = whole.endsWith(";") ? (known ?? referred(name)) : undefined;
    if (value === undefined) throw malformed("has an entity that is not XML's own");
    return value;
  });
}

function referred(name: string): string | undefined {
  const digits = /^#(?:x([0-9a-fA-F]{1,6})|(\d{1,7}))$/.exec(name);
  if (digits === null) return undefined;
  const [, hex, decimal = ""] = digits;
  const code = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16);
  if (code === 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return undefined;
  return String.fromCodePoint(code);
}
