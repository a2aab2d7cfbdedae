// Keys as paths below the root, and back. The mapping is one to one: every key of well-formed Unicode
// has one path and no two keys share one, whatever the file system thinks of its characters.
//
// A key's UTF-8 bytes are split at "/". In each segment all bytes but a safe few are written %XX. A
// segment that is a folder ends in "%", so that the blob "a" and the blob "a/b" can both exist. Of a
// segment of 80 bytes or more the first 80 become a folder that ends in "%+", and the rest is encoded
// inside it: so no name exceeds 242 bytes. An empty last segment is "%~".

import { keyBytesMax } from "@roma/contract";
import { OperationalError } from "../../core/errors.ts";

/** Bytes as a string with one character per byte: such strings compare in byte order. */
export type ByteString = string;

const stemBytes = 80;
const folderMark = "%";
const stemMark = "%+";
const emptyName = "%~";

const plain: readonly boolean[] = Array.from({ length: 256 }, (_, byte) =>
  /[A-Za-z0-9 _.,;=@+~()!$&'-]/.test(String.fromCharCode(byte)),
);
const written: readonly string[] = Array.from({ length: 256 }, (_, byte) =>
  plain[byte] ? String.fromCharCode(byte) : escaped(byte),
);
// Most keys are of these characters alone and need no work.
const simpleKey = /^(?:[A-Za-z0-9_-][A-Za-z0-9_.-]{0,78}\/)*[A-Za-z0-9_-][A-Za-z0-9_.-]{0,78}$/;

function escaped(byte: number): string {
  return `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
}

/** The path of a key, relative to the root; `invalid_key`. */
export function pathOfKey(key: string): string {
  if (key.length <= keyBytesMax && simpleKey.test(key)) return key.replaceAll("/", "%/");
  return pathOfBytes(bytesOfKey(key));
}

/** The bytes of a key that a driver may store; `invalid_key`. */
export function bytesOfKey(key: string): ByteString {
  if (key === "") throw new OperationalError("invalid_key", "the key is empty");
  return bytesOfPrefix(key);
}

/** As `bytesOfKey`, and may be empty. */
export function bytesOfPrefix(prefix: string): ByteString {
  if (!prefix.isWellFormed()) {
    throw new OperationalError("invalid_key", "the key is not well-formed Unicode");
  }
  const bytes = Buffer.from(prefix, "utf8");
  if (bytes.length > keyBytesMax) {
    const message = `the key has ${bytes.length} bytes, more than ${keyBytesMax}`;
    throw new OperationalError("invalid_key", message);
  }
  return bytes.toString("latin1");
}

/** The key of its bytes. */
export function keyOfBytes(bytes: ByteString): string {
  return Buffer.from(bytes, "latin1").toString("utf8");
}

/** The folder that holds all keys which start with these whole segments ("a/b/"). */
export function folderOfBytes(segments: ByteString): string {
  const path = pathOfBytes(segments);
  return path.slice(0, path.lastIndexOf("/") + 1);
}

function pathOfBytes(bytes: ByteString): string {
  const segments = bytes.split("/");
  const last = segments.pop() ?? "";
  let path = "";
  for (const segment of segments) {
    const rest = stems(segment);
    path += `${rest.path}${encode(rest.tail)}${folderMark}/`;
  }
  const rest = stems(last);
  return `${path}${rest.path}${rest.tail === "" ? emptyName : encode(rest.tail)}`;
}

function stems(segment: ByteString): { readonly path: string; readonly tail: ByteString } {
  let path = "";
  let tail = segment;
  while (tail.length >= stemBytes) {
    path += `${encode(tail.slice(0, stemBytes))}${stemMark}/`;
    tail = tail.slice(stemBytes);
  }
  return { path, tail };
}

function encode(bytes: ByteString): string {
  let name = "";
  for (let index = 0; index < bytes.length; index += 1) {
    name += written[bytes.charCodeAt(index)];
  }
  return name.startsWith(".") ? `${escaped(0x2e)}${name.slice(1)}` : name;
}

/** What a name in a folder stands for: bytes of a key that follow those of the folder. */
export type Entry =
  | { readonly kind: "blob"; readonly bytes: ByteString }
  /** `bytes` ends in "/" for a folder, and not for the start of a long segment. */
  | { readonly kind: "folder"; readonly bytes: ByteString };

/** Undefined for a name that this mapping never makes: somebody else's file, or `.roma`. */
export function entryOfName(name: string, isFolder: boolean): Entry | undefined {
  if (!isFolder) {
    if (name === emptyName) return { kind: "blob", bytes: "" };
    const bytes = decode(name);
    if (bytes === undefined || bytes === "" || bytes.length >= stemBytes) return undefined;
    return { kind: "blob", bytes };
  }
  if (name.endsWith(stemMark)) {
    const bytes = decode(name.slice(0, -stemMark.length));
    return bytes?.length === stemBytes ? { kind: "folder", bytes } : undefined;
  }
  if (!name.endsWith(folderMark)) return undefined;
  const bytes = decode(name.slice(0, -folderMark.length));
  if (bytes === undefined || bytes.length >= stemBytes) return undefined;
  return { kind: "folder", bytes: `${bytes}/` };
}

function decode(name: string): ByteString | undefined {
  let bytes = "";
  for (let index = 0; index < name.length; index += 1) {
    if (name[index] !== "%") {
      bytes += name[index];
      continue;
    }
    const hex = name.slice(index + 1, index + 3);
    if (!/^[0-9A-F]{2}$/.test(hex)) return undefined;
    bytes += String.fromCharCode(Number.parseInt(hex, 16));
    index += 2;
  }
  // Only the one spelling that `encode` gives is ours.
  return encode(bytes) === name ? bytes : undefined;
}
