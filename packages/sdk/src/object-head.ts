/** The facts about an object as the fields of a GET or HEAD answer carry them. */
import { parseCrc64NvmeField } from "./digest-fields.ts";
import { parseMetadataFields } from "./metadata-fields.ts";

export interface ObjectHead {
  /** Bytes of the whole object; `null` when the answer does not say. */
  readonly size: number | null;
  /** With its quotes. */
  readonly etag: string | null;
  readonly contentType: string | null;
  readonly lastModified: string | null;
  readonly version: string | null;
  /** CRC-64/NVME in hex. */
  readonly crc64nvme: string | null;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Reads the fields; what is absent is `null`. */
export function parseObjectHead(headers: Readonly<Record<string, string>>): ObjectHead {
  return {
    size: parseSize(headers),
    etag: headers.etag ?? null,
    contentType: headers["content-type"] ?? null,
    lastModified: headers["last-modified"] ?? null,
    version: headers["roma-version"] ?? null,
    crc64nvme: parseCrc64NvmeField(headers["repr-digest"]) ?? null,
    metadata: parseMetadataFields(headers),
  };
}

function parseSize(headers: Readonly<Record<string, string>>): number | null {
  const range = headers["content-range"]?.match(/\/(\d+)$/)?.[1];
  const size = range ?? (headers["content-range"] === undefined ? headers["content-length"] : null);
  return size == null || !/^\d+$/.test(size) ? null : Number(size);
}
