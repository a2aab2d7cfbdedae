/**
 * `Upload-Metadata`: `key SP base64` pairs, separated by commas. Values are bytes; nothing is assumed
 * of them here. The text itself is kept beside what is read from it and given back as it came.
 */

import type { FastifyRequest } from "fastify";
import { badField, field } from "./fields.ts";

/** By key, in the order given. A map, so that no key (`constructor`) means anything but itself. */
export type TusMetadata = ReadonlyMap<string, Uint8Array>;

const name = "Upload-Metadata";

/** `invalid_request` for an empty key, one given twice, and a value that is not base64. */
export function metadataField(request: FastifyRequest): TusMetadata {
  return parseMetadata(field(request, name) ?? "");
}

export function parseMetadata(text: string): TusMetadata {
  const metadata = new Map<string, Uint8Array>();
  if (trim(text) === "") return metadata;
  for (const pair of text.split(",")) {
    // Around commas a proxy that joins two fields may have put a space.
    const [key = "", value = "", ...more] = trim(pair).split(" ");
    if (key === "" || key.includes("\t")) throw badField(name, "has a pair without a key");
    if (metadata.has(key)) throw badField(name, "has a key twice");
    if (more.length > 0 || !isBase64(value)) throw badField(name, "has a value that is not base64");
    metadata.set(key, Buffer.from(value, "base64"));
  }
  return metadata;
}

/** RFC 4648 §4, with its padding; of nothing too. */
export function isBase64(text: string): boolean {
  return text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text);
}

function trim(text: string): string {
  return text.replace(/^[ \t]+|[ \t]+$/g, "");
}
