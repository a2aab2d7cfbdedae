/**
 * Digests in headers: `Content-Digest`, `Repr-Digest` and `Want-Repr-Digest` (RFC 9530, dictionaries
 * of RFC 9651/8941) and `Content-MD5`. Scanned once from left to right. An unknown algorithm is
 * ignored; a malformed header, or a digest of the wrong length, is `invalid_request` and is named.
 */
import { OperationalError } from "../core/errors.ts";
import type { DigestName, Digests } from "../core/ports/storage-driver.ts";

/** Names in the header; `crc64nvme` is a private one, the others are registered. */
const algorithms = {
  "sha-256": { name: "sha256", bytes: 32 },
  sha: { name: "sha1", bytes: 20 },
  "sha-1": { name: "sha1", bytes: 20 },
  md5: { name: "md5", bytes: 16 },
  crc32c: { name: "crc32c", bytes: 4 },
  crc64nvme: { name: "crc64nvme", bytes: 8 },
} as const satisfies Readonly<Record<string, { name: DigestName; bytes: number }>>;

type Algorithm = keyof typeof algorithms;

const isAlgorithm = (key: string): key is Algorithm => Object.hasOwn(algorithms, key);

/** In the order in which we would choose. */
const headerNames: Readonly<Partial<Record<DigestName, string>>> = {
  sha256: "sha-256",
  crc64nvme: "crc64nvme",
  md5: "md5",
  sha1: "sha",
  crc32c: "crc32c",
};

const headerBytesMax = 8192;

function malformed(header: string, why: string): OperationalError {
  return new OperationalError("invalid_request", `${header} is malformed: ${why}`, {
    context: { header },
  });
}

/** A bare item of a dictionary, as far as digests need it. */
type Item =
  | { readonly kind: "bytes"; readonly value: Uint8Array }
  | { readonly kind: "integer"; readonly value: number }
  | { readonly kind: "other" };

/** RFC 8941 §4.2.2, left to right without going back. A later member of one name wins. */
class DictionaryScanner {
  readonly #text: string;
  readonly #header: string;
  #at = 0;

  constructor(text: string, header: string) {
    this.#text = text;
    this.#header = header;
  }

  scan(): ReadonlyMap<string, Item> {
    const members = new Map<string, Item>();
    this.#skip(" ");
    while (this.#at < this.#text.length) {
      const key = this.#key();
      members.delete(key);
      members.set(key, this.#take("=") ? this.#item() : { kind: "other" });
      this.#parameters();
      this.#skip(" \t");
      if (this.#at >= this.#text.length) return members;
      if (!this.#take(",")) throw this.#error("a comma is missing");
      this.#skip(" \t");
      if (this.#at >= this.#text.length) throw this.#error("it ends with a comma");
    }
    return members;
  }

  #error(why: string): OperationalError {
    return malformed(this.#header, why);
  }

  #skip(characters: string): void {
    while (this.#at < this.#text.length && characters.includes(this.#text[this.#at] ?? "")) {
      this.#at++;
    }
  }

  #take(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #while(allowed: RegExp): string {
    const start = this.#at;
    while (this.#at < this.#text.length && allowed.test(this.#text[this.#at] ?? "")) this.#at++;
    return this.#text.slice(start, this.#at);
  }

  #key(): string {
    if (!/[a-z*]/.test(this.#text[this.#at] ?? "")) throw this.#error("a name is missing");
    return this.#while(/[a-z0-9_.*-]/);
  }

  #parameters(): void {
    while (this.#take(";")) {
      this.#skip(" ");
      this.#key();
      if (this.#take("=")) this.#item();
    }
  }

  #item(): Item {
    const first = this.#text[this.#at] ?? "";
    if (first === ":") return this.#byteSequence();
    if (first === '"') return this.#string();
    if (first === "(") return this.#innerList();
    if (first === "?") {
      this.#at++;
      if (!this.#take("0") && !this.#take("1")) throw this.#error("a boolean is cut off");
      return { kind: "other" };
    }
    if (/[-0-9]/.test(first)) return this.#number();
    if (/[A-Za-z*]/.test(first)) {
      this.#while(/[A-Za-z0-9!#$%&'*+\-.^_`|~:/]/);
      return { kind: "other" };
    }
    throw this.#error("a value is missing");
  }

  #byteSequence(): Item {
    const end = this.#text.indexOf(":", this.#at + 1);
    if (end < 0) throw this.#error("a byte sequence has no end");
    const text = this.#text.slice(this.#at + 1, end);
    this.#at = end + 1;
    const value = base64(text);
    if (value === undefined) throw this.#error("a byte sequence is not base64");
    return { kind: "bytes", value };
  }

  #string(): Item {
    this.#at++;
    for (;;) {
      const character = this.#text[this.#at++];
      if (character === undefined) throw this.#error("a string has no end");
      if (character === '"') return { kind: "other" };
      if (character === "\\") this.#at++;
    }
  }

  #innerList(): Item {
    this.#at++;
    for (;;) {
      this.#skip(" ");
      if (this.#take(")")) return { kind: "other" };
      // RFC 8941 §3.1.1: lists do not nest.
      if (this.#text[this.#at] === "(") throw this.#error("a list is inside a list");
      this.#item();
      this.#parameters();
    }
  }

  #number(): Item {
    const sign = this.#take("-") ? -1 : 1;
    const whole = this.#while(/[0-9]/);
    const fraction = this.#take(".") ? this.#while(/[0-9]/) : undefined;
    const wrong = whole === "" || whole.length > 15 || fraction === "";
    if (wrong) throw this.#error("a number is malformed");
    if (fraction !== undefined) return { kind: "other" };
    return { kind: "integer", value: sign * Number(whole) };
  }
}

/** Strict base64, as §4.2.7 permits without padding too. */
function base64(text: string): Uint8Array | undefined {
  const body = text.endsWith("==")
    ? text.slice(0, -2)
    : text.endsWith("=")
      ? text.slice(0, -1)
      : text;
  if (!/^[A-Za-z0-9+/]*$/.test(body) || body.length % 4 === 1) return undefined;
  if (body.length !== text.length && text.length % 4 !== 0) return undefined;
  return new Uint8Array(Buffer.from(body, "base64"));
}

function dictionary(
  value: string | readonly string[] | undefined,
  header: string,
): ReadonlyMap<string, Item> {
  if (value === undefined) return new Map();
  const text = typeof value === "string" ? value : value.join(", ");
  if (text.length > headerBytesMax) throw malformed(header, `it is over ${headerBytesMax} bytes`);
  return new DictionaryScanner(text, header).scan();
}

/** `Content-Digest` or `Repr-Digest`, named for the refusal. */
export function parseDigestHeader(
  value: string | readonly string[] | undefined,
  header: "Content-Digest" | "Repr-Digest",
): Digests {
  const digests: Partial<Record<DigestName, Uint8Array>> = {};
  for (const [key, item] of dictionary(value, header)) {
    if (!isAlgorithm(key)) continue;
    const { name, bytes } = algorithms[key];
    if (item.kind !== "bytes") throw malformed(header, `${key} is not a byte sequence`);
    if (item.value.length !== bytes) throw malformed(header, `${key} is not ${bytes} bytes long`);
    digests[name] = item.value;
  }
  return digests;
}

/** RFC 1864: base64 of 16 bytes. */
export function parseContentMd5(value: string | undefined): Digests {
  if (value === undefined) return {};
  const md5 = base64(value.trim());
  if (md5?.length !== 16) throw malformed("Content-MD5", "it is not base64 of 16 bytes");
  return { md5 };
}

/** What a request declares of its body. Where headers contradict each other, it is refused. */
export function requestDigests(
  headers: Readonly<Record<string, string | readonly string[] | undefined>>,
): Digests {
  const md5 = headers["content-md5"];
  const all: readonly (readonly [string, Digests])[] = [
    ["Content-MD5", parseContentMd5(typeof md5 === "string" ? md5 : md5?.join(", "))],
    ["Content-Digest", parseDigestHeader(headers["content-digest"], "Content-Digest")],
    ["Repr-Digest", parseDigestHeader(headers["repr-digest"], "Repr-Digest")],
  ];
  const digests: Partial<Record<DigestName, Uint8Array>> = {};
  for (const [header, found] of all) {
    for (const [name, value] of Object.entries(found) as [DigestName, Uint8Array][]) {
      const before = digests[name];
      if (before !== undefined && Buffer.compare(before, value) !== 0) {
        throw malformed(header, "it contradicts another digest of the request");
      }
      digests[name] = value;
    }
  }
  return digests;
}

/**
 * `Want-Repr-Digest` or `Want-Content-Digest`: the algorithms we know with a weight over 0, the most
 * wanted first. Weights are 0 to 10 (RFC 9530 §4).
 */
export function parseWantDigest(
  value: string | readonly string[] | undefined,
  header: "Want-Repr-Digest" | "Want-Content-Digest",
): readonly DigestName[] {
  const wanted: { readonly name: DigestName; readonly weight: number }[] = [];
  for (const [key, item] of dictionary(value, header)) {
    if (!isAlgorithm(key)) continue;
    if (item.kind !== "integer" || item.value < 0 || item.value > 10) {
      throw malformed(header, `the weight of ${key} is not an integer from 0 to 10`);
    }
    if (item.value > 0) wanted.push({ name: algorithms[key].name, weight: item.value });
  }
  return wanted.toSorted((a, b) => b.weight - a.weight).map(({ name }) => name);
}

/** `sha-256=:…:, md5=:…:`; `undefined` when none of the digests has a name in the header. */
export function formatDigestHeader(
  digests: Digests,
  names: readonly DigestName[] = Object.keys(headerNames) as DigestName[],
): string | undefined {
  const members: string[] = [];
  for (const name of names) {
    const value = digests[name];
    const key = headerNames[name];
    if (value === undefined || key === undefined) continue;
    members.push(`${key}=:${Buffer.from(value).toString("base64")}:`);
  }
  return members.length === 0 ? undefined : members.join(", ");
}
