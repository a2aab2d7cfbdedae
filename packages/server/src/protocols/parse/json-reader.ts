/**
 * Reads an upload in JSON as it arrives: the text of its member `base64` becomes bytes at once, in the memory that
 * it came in, and everything else is kept, bounded, to be parsed when the end has come. Only as much of JSON is
 * followed here as tells where that text begins and ends; the parser of the rest judges all other syntax.
 */
import { Base64Decoder, badBase64 } from "./base64-decoder.ts";
import { invalidJson } from "./described.ts";
import { unauthorized } from "./errors.ts";

/** Bytes of everything but the file. */
export const restBytesMax = 64 * 1024;
/** Of objects and lists in one another. */
export const depthMax = 32;

const quote = 0x22;
const backslash = 0x5c;
const comma = 0x2c;
const openings: ReadonlySet<number> = new Set([0x7b, 0x5b]);
const closings: ReadonlySet<number> = new Set([0x7d, 0x5d]);
const whites: ReadonlySet<number> = new Set([0x20, 0x09, 0x0a, 0x0d]);

type Place = "start" | "structure" | "text" | "base64" | "end";

export class JsonUploadReader {
  readonly #decoder = new Base64Decoder();
  #place: Place = "start";
  #depth = 0;
  /** Of the outermost object: whether the next text is a member's name. */
  #expectsName = false;
  #isName = false;
  #name = "";
  readonly #names = new Set<string>();
  /** Within a text, after a backslash; of `base64` with the digits of `\u` so far. */
  #escape: string | undefined;
  #rest = Buffer.alloc(1024);
  #restLength = 0;
  #textStart = 0;

  /**
   * Answers how many bytes of the file the chunk held: they are its first ones now. Code 107 or 130 for what is
   * wrong; `unauthenticated` of a body that is no JSON at all, and so names nobody.
   */
  push(chunk: Uint8Array): number {
    let at = 0;
    let end = 0;
    while (at < chunk.length) {
      if (this.#place === "base64") {
        [at, end] = this.#takeBase64(chunk, at, end);
      } else {
        this.#take(chunk[at] ?? 0);
        at += 1;
      }
    }
    return end;
  }

  /** Everything but the file. Code 107 unless a whole JSON object came. */
  end(): ReadonlyMap<string, unknown> {
    if (this.#place === "start") throw unauthorized("the request names no application");
    if (this.#place !== "end") throw invalidJson("The JSON ends too early.");
    const text = decodeUtf8(this.#rest.subarray(0, this.#restLength));
    try {
      const parsed: unknown = JSON.parse(text);
      return new Map(Object.entries(parsed ?? {}));
    } catch (error) {
      if (error instanceof SyntaxError) throw invalidJson("The body is not JSON.");
      throw error;
    }
  }

  #take(byte: number): void {
    if (this.#place === "start") {
      this.#begin(byte);
      return;
    }
    this.#keep(byte);
    if (this.#place === "text") this.#takeOfText(byte);
    else if (this.#place === "structure") this.#takeOfStructure(byte);
    else if (!whites.has(byte)) throw invalidJson("Something follows the JSON object.");
  }

  #begin(byte: number): void {
    if (whites.has(byte)) return;
    if (byte !== 0x7b) throw unauthorized("the request names no application");
    this.#keep(byte);
    this.#place = "structure";
    this.#depth = 1;
    this.#expectsName = true;
  }

  #takeOfStructure(byte: number): void {
    if (byte === quote) {
      this.#beginText();
    } else if (openings.has(byte)) {
      this.#depth += 1;
      if (this.#depth > depthMax) throw invalidJson(`The JSON is nested deeper than ${depthMax}.`);
    } else if (closings.has(byte)) {
      this.#depth -= 1;
      if (this.#depth === 0) this.#place = "end";
    } else if (byte === comma && this.#depth === 1) {
      this.#expectsName = true;
      this.#name = "";
    }
  }

  #beginText(): void {
    if (this.#depth === 1 && !this.#expectsName && this.#name === "base64") {
      // What is parsed in the end has an empty text there.
      this.#keep(quote);
      this.#name = "";
      this.#place = "base64";
      return;
    }
    this.#place = "text";
    this.#textStart = this.#restLength - 1;
    this.#isName = this.#depth === 1 && this.#expectsName;
  }

  #takeOfText(byte: number): void {
    if (this.#escape !== undefined) {
      this.#escape = undefined;
    } else if (byte === backslash) {
      this.#escape = "";
    } else if (byte === quote) {
      this.#place = "structure";
      if (this.#isName) this.#endName();
    }
  }

  #endName(): void {
    const text = decodeUtf8(this.#rest.subarray(this.#textStart, this.#restLength));
    let name: unknown;
    try {
      name = JSON.parse(text);
    } catch {
      throw invalidJson("A name in the JSON is malformed.");
    }
    this.#name = String(name);
    this.#expectsName = false;
    // Of two values the wrong one could be believed.
    if (this.#names.has(this.#name)) throw invalidJson("The JSON has two members of one name.");
    this.#names.add(this.#name);
  }

  #takeBase64(chunk: Uint8Array, from: number, into: number): readonly [number, number] {
    if (this.#escape !== undefined) return this.#takeEscaped(chunk, from, into);
    const end = this.#decoder.decode(chunk, from, into);
    const { at } = this.#decoder;
    if (at === chunk.length) return [at, end];
    if (chunk[at] === backslash) this.#escape = "";
    else if (chunk[at] === quote) this.#endBase64();
    else throw badBase64("it has a character of no alphabet");
    return [at + 1, end];
  }

  #endBase64(): void {
    this.#decoder.end();
    this.#place = "structure";
  }

  /** `\/` is how PHP writes a slash; `\n` ends a line of it; `\u002b` may be any digit. */
  #takeEscaped(chunk: Uint8Array, at: number, into: number): readonly [number, number] {
    const given = `${this.#escape}${String.fromCharCode(chunk[at] ?? 0)}`;
    this.#escape = given;
    const meant = /^u[0-9a-f]{4}$/i.test(given)
      ? Number.parseInt(given.slice(1), 16)
      : escapes.get(given);
    if (meant === undefined) {
      if (/^u[0-9a-f]{0,3}$/i.test(given)) return [at + 1, into];
      throw badBase64("it has an escape that is none of its characters");
    }
    this.#escape = undefined;
    const one = Uint8Array.of(meant);
    const end = this.#decoder.decode(one, 0, 0);
    if (meant > 0x7f || this.#decoder.at === 0)
      throw badBase64("it has a character of no alphabet");
    if (end === 1) chunk[into] = one[0] ?? 0;
    return [at + 1, into + end];
  }

  #keep(byte: number): void {
    if (this.#restLength === restBytesMax) {
      throw invalidJson(`The JSON has more than ${restBytesMax} bytes beside the file.`);
    }
    if (this.#restLength === this.#rest.length) {
      this.#rest = Buffer.concat([this.#rest], this.#rest.length * 2);
    }
    this.#rest[this.#restLength] = byte;
    this.#restLength += 1;
  }
}

const escapes: ReadonlyMap<string, number> = new Map([
  ["/", 0x2f],
  ["n", 0x0a],
  ["r", 0x0d],
  ["t", 0x09],
]);

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw invalidJson("The JSON is not UTF-8.");
  }
}
