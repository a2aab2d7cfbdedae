/**
 * Reads a `multipart/form-data` body (RFC 7578, RFC 2046 §5.1) part by part, as it is pulled. Holds
 * one chunk and one part's headers, never a part. What is not a well-formed part is refused, never
 * skipped: a form whose file was silently left out would be answered as stored.
 */
import { OperationalError } from "../core/errors.ts";
import type { Body } from "../core/ports/storage-driver.ts";
import { percentDecoded } from "./query.ts";

export interface FormPart {
  /** The field's name. */
  readonly name: string;
  /** Present, even when empty, if the part is a file. As sent, path and all. */
  readonly fileName?: string;
  readonly contentType?: string;
  /** To be read before the next part is asked for; what is left of it is skipped. */
  readonly body: Body;
}

/** Bytes of one part's headers: room for a file name of 5,000 characters in any script. */
const partHeaderBytesMax = 64 * 1024;
/** Bytes before the first and after the last part, which mean nothing. */
const paddingBytesMax = 64 * 1024;

const crlf = Buffer.from("\r\n");
const headersEnd = Buffer.from("\r\n\r\n");

/** The boundary of a form's `Content-Type`; `invalid_request` if it is no form or has none. */
export function formBoundary(type: string, parameters: Readonly<Record<string, string>>): string {
  if (type !== "multipart/form-data") {
    throw new OperationalError("invalid_request", "Content-Type is not multipart/form-data", {
      context: { header: "Content-Type" },
    });
  }
  const { boundary = "" } = parameters;
  // RFC 2046 §5.1.1, with what browsers and libraries add to it.
  if (!/^[\x21-\x7e ]{0,69}[\x21-\x7e]$/.test(boundary)) {
    throw new OperationalError(
      "invalid_request",
      "Content-Type has no boundary of 1 to 70 printable ASCII characters",
      { context: { header: "Content-Type" } },
    );
  }
  return boundary;
}

/** `invalid_request` for what is malformed, `incomplete_body` for a form that ends too early. */
export async function* readForm(body: Body, boundary: string): AsyncGenerator<FormPart> {
  const reader = new FormReader(body, boundary);
  try {
    await reader.skipToDelimiter("before the first part");
    while (await reader.nextPartFollows()) {
      const fields = parseHeaders(await reader.headerBlock());
      const content = reader.content();
      yield { ...describePart(fields), body: content };
      for await (const _rest of content);
    }
    await reader.skipEpilogue();
  } finally {
    await reader.release();
  }
}

class FormReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #delimiter: Buffer;
  /** What was pulled and not yet given out. */
  #held: Buffer = crlf;
  #ended = false;

  constructor(body: Body, boundary: string) {
    this.#chunks = body[Symbol.asyncIterator]();
    this.#delimiter = Buffer.from(`\r\n--${boundary}`, "latin1");
  }

  async release(): Promise<void> {
    await this.#chunks.return?.();
  }

  /** The bytes up to the next delimiter, which is consumed. */
  async *content(): Body & AsyncGenerator<Uint8Array> {
    for (;;) {
      const at = this.#held.indexOf(this.#delimiter);
      const end = at === -1 ? this.#held.length - this.#delimiterStarts() : at;
      if (end > 0) {
        const bytes = this.#held.subarray(0, end);
        this.#held = this.#held.subarray(end);
        yield bytes;
      }
      if (at !== -1) {
        this.#held = this.#held.subarray(this.#delimiter.length);
        return;
      }
      await this.#pull("within a part");
    }
  }

  async skipToDelimiter(where: string): Promise<void> {
    let skipped = 0;
    for await (const bytes of this.content()) {
      skipped += bytes.length;
      if (skipped > paddingBytesMax) throw malformed(`there is no boundary ${where}`);
    }
  }

  /** After a delimiter: a line end begins another part, `--` ends the form. */
  async nextPartFollows(): Promise<boolean> {
    while (this.#held.length < 2) await this.#pull("within a boundary");
    if (this.#held.subarray(0, 2).equals(crlf)) return true;
    if (this.#held[0] === 0x2d && this.#held[1] === 0x2d) return false;
    // RFC 2046 §5.1.1: transport padding, spaces and tabs, may follow a boundary.
    let padding = 0;
    while (this.#held[padding] === 0x20 || this.#held[padding] === 0x09) {
      padding++;
      while (this.#held.length < padding + 2) await this.#pull("within a boundary");
      if (padding > 1000) throw malformed("a boundary is followed by too many spaces");
    }
    this.#held = this.#held.subarray(padding);
    if (padding > 0 && this.#held.subarray(0, 2).equals(crlf)) return true;
    throw malformed("a boundary is not followed by a line end");
  }

  /** From the line end of the delimiter to the empty line, which is consumed. */
  async headerBlock(): Promise<Buffer> {
    for (;;) {
      const end = this.#held.indexOf(headersEnd);
      if (end > partHeaderBytesMax || (end === -1 && this.#held.length > partHeaderBytesMax)) {
        throw new OperationalError(
          "too_large",
          `the headers of a part are larger than the limit of ${partHeaderBytesMax} bytes`,
          { context: { partHeaderBytesMax } },
        );
      }
      if (end !== -1) {
        const block = this.#held.subarray(crlf.length, Math.max(end, crlf.length));
        this.#held = this.#held.subarray(end + headersEnd.length);
        return block;
      }
      await this.#pull("within the headers of a part");
    }
  }

  /** The rest is read, so that the connection can carry another request. */
  async skipEpilogue(): Promise<void> {
    let bytes = this.#held.length;
    while (!this.#ended) {
      const { done, value } = await this.#chunks.next();
      this.#ended = done === true;
      bytes += value?.length ?? 0;
      if (bytes > paddingBytesMax) throw malformed("bytes follow the end of the form");
    }
  }

  async #pull(where: string): Promise<void> {
    const { done, value } = await this.#chunks.next();
    if (done) {
      this.#ended = true;
      throw new OperationalError("incomplete_body", `the form ends ${where}`);
    }
    const chunk = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
  }

  /** How many bytes at the end of what is held may be the beginning of a delimiter. */
  #delimiterStarts(): number {
    const longest = Math.min(this.#delimiter.length - 1, this.#held.length);
    let at = this.#held.indexOf(0x0d, this.#held.length - longest);
    while (at !== -1) {
      const tail = this.#held.subarray(at);
      if (this.#delimiter.subarray(0, tail.length).equals(tail)) return tail.length;
      at = this.#held.indexOf(0x0d, at + 1);
    }
    return 0;
  }
}

type Fields = ReadonlyMap<string, string>;

function parseHeaders(block: Buffer): Fields {
  const fields = new Map<string, string>();
  const text = utf8(block);
  for (const line of text === "" ? [] : text.split("\r\n")) {
    const match = /^([!#$%&'*+\-.^_`|~\w]+):[ \t]*([^\r\n\0]*)$/.exec(line);
    if (match === null) throw malformed("a part has a malformed header line");
    const name = (match[1] ?? "").toLowerCase();
    if (fields.has(name)) throw malformed(`a part has two ${name} headers`);
    fields.set(name, (match[2] ?? "").trimEnd());
  }
  return fields;
}

function utf8(bytes: Buffer): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw malformed("the headers of a part are not UTF-8");
  }
}

function describePart(fields: Fields): Omit<FormPart, "body"> {
  const disposition = parseDisposition(fields.get("content-disposition") ?? "");
  const name = disposition.get("name");
  if (name === undefined) {
    throw malformed("a part has no Content-Disposition: form-data with a name");
  }
  const encoding = (fields.get("content-transfer-encoding") ?? "binary").toLowerCase();
  // RFC 7578 §4.7: nobody sends it; bytes that are encoded must not be stored as they are.
  if (!["binary", "8bit", "7bit"].includes(encoding)) {
    throw new OperationalError(
      "unsupported",
      "Content-Transfer-Encoding of a part is not supported",
    );
  }
  const fileName = extendedFileName(disposition.get("filename*")) ?? disposition.get("filename");
  const contentType = fields.get("content-type");
  return {
    name: unescapeName(name),
    ...(fileName === undefined ? {} : { fileName: unescapeName(fileName) }),
    ...(contentType === undefined ? {} : { contentType }),
  };
}

const parameterPattern =
  /[ \t]*;[ \t]*([!#$%&'*+\-.^_`|~\w]+)=(?:"((?:\\"|[^"])*)"|([^;" \t]*))[ \t]*/y;

function parseDisposition(value: string): Fields {
  const parameters = new Map<string, string>();
  const start = /^form-data(?=[ \t;]|$)/i.exec(value)?.[0].length;
  if (start === undefined) throw malformed("a part's Content-Disposition is not form-data");
  const pattern = new RegExp(parameterPattern);
  pattern.lastIndex = start;
  while (pattern.lastIndex < value.length) {
    const match = pattern.exec(value);
    if (match === null) throw malformed("a part's Content-Disposition is malformed");
    const name = (match[1] ?? "").toLowerCase();
    if (parameters.has(name)) throw malformed(`a part's Content-Disposition has ${name} twice`);
    // Only quotes are escaped: a backslash may be part of a Windows path.
    parameters.set(name, match[2]?.replaceAll('\\"', '"') ?? match[3] ?? "");
  }
  return parameters;
}

/** HTML's encoding of names: exactly these three characters, nothing else. */
function unescapeName(text: string): string {
  return text.replace(/%22|%0D|%0A/gi, (code) =>
    String.fromCharCode(Number.parseInt(code.slice(1), 16)),
  );
}

/** RFC 8187; RFC 7578 §4.2 forbids it in forms, some clients send it all the same. */
function extendedFileName(value: string | undefined): string | undefined {
  if (value === undefined) return undefined;
  const encoded = /^utf-8'[^']*'(.*)$/i.exec(value)?.[1];
  const name = encoded === undefined ? undefined : percentDecoded(encoded);
  if (name === undefined) throw malformed("a part's filename* is not UTF-8 in percent-encoding");
  return name;
}

function malformed(what: string): OperationalError {
  return new OperationalError("invalid_request", `form: ${what}`);
}
