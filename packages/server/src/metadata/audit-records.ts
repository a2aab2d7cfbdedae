/**
 * What stands in the audit log, as text. The members' order is part of the layout, which `v` numbers: a text
 * is hashed as it was written, and never written again (`docs/audit.md`).
 */
import { hash } from "node:crypto";
import type { Author } from "../core/ports/metadata-store.ts";

/** Of `v` in every record. A new number for each change to what members mean. */
export const recordVersion = 1;
/** Of a record's `details`, as JSON: what is longer is left out, and said to be. */
const detailsCharactersMax = 4096;

export interface ObjectState {
  readonly version: string;
  readonly size: number;
}

export interface AuditEntry {
  readonly at: Date;
  readonly author: Author;
  /** A past fact: `object.deleted`. */
  readonly action: string;
  /** Left out: `done`. */
  readonly result?: string;
  readonly permission?: string;
  readonly bucket?: string;
  readonly key?: string;
  readonly version?: string;
  readonly size?: number;
  /** What was there before. */
  readonly replaced?: ObjectState;
  /** Of a copy or move. */
  readonly from?: { readonly bucket: string; readonly key: string; readonly version: string };
  /** The upload that became the object. */
  readonly upload?: string;
  /** The access key that began the upload, where another finished it. */
  readonly owner?: string;
  /** Of the grant under which it was written, as JSON; left out: the author's. */
  readonly context?: string;
  readonly repeated?: number;
  readonly details?: Readonly<Record<string, unknown>>;
}

/** What is undefined is not in the text. */
export function recordText(entry: AuditEntry, sequence: number): string {
  const { author, at, action, result = "done" } = entry;
  const { origin } = author;
  const context = entry.context ?? author.context;
  return JSON.stringify({
    v: recordVersion,
    sequence,
    at: at.toISOString(),
    action,
    result,
    actor: {
      kind: author.kind,
      id: author.id ?? undefined,
      grant: author.grantId ?? undefined,
    },
    address: origin?.address ?? undefined,
    via: origin?.via ?? undefined,
    protocol: origin?.protocol,
    requestId: origin?.requestId,
    permission: entry.permission,
    bucket: entry.bucket,
    key: entry.key,
    version: entry.version,
    size: entry.size,
    replaced: entry.replaced,
    from: entry.from,
    upload: entry.upload,
    owner: entry.owner,
    context: context === null ? undefined : parseContext(context),
    repeated: entry.repeated,
    details: entry.details === undefined ? undefined : bounded(entry.details),
  });
}

export function recordHash(previous: Uint8Array, text: string): Uint8Array {
  return new Uint8Array(hash("sha256", Buffer.concat([previous, Buffer.from(text)]), "buffer"));
}

/** The record as it leaves the store: with its place in the chain as its last members. */
export function recordLine(text: string, previous: Uint8Array, own: Uint8Array): string {
  return `${text.slice(0, -1)},"previous":"${toHex(previous)}","hash":"${toHex(own)}"}`;
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
}

function bounded(details: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  if (JSON.stringify(details).length <= detailsCharactersMax) return details;
  return { tooLong: Object.keys(details) };
}

/** It was made by `JSON.stringify` when the grant was read. */
function parseContext(context: string): unknown {
  return JSON.parse(context);
}
