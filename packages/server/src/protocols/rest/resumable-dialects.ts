/**
 * The dialects of resumable uploads over HTTP (draft-ietf-httpbis-resumable-upload), by interop version:
 * what differs between them, as a table. Everything else is done as in the newest, whose answers say
 * more than the older ones ask for.
 */
import type { IncomingHttpHeaders } from "node:http";
import { OperationalError } from "../../core/errors.ts";
import { parseBooleanField, parseCountField } from "./resumable-fields.ts";

/** Of the content of an append. */
export const partialUploadType = "application/partial-upload";

export interface Dialect {
  readonly version: number;
  /** The field that says whether the content ends the upload. `Upload-Incomplete` says the opposite. */
  readonly completeness: "upload-complete" | "upload-incomplete";
  /** What an append without that field is: tus-js-client leaves it out of an empty last one. */
  readonly unsaid: "yes" | "at-length" | "no";
  /** Answers to a last append name the offset and the upload's address. */
  readonly addressed: boolean;
  /** Media types of appends. */
  readonly appendType: "any" | typeof partialUploadType;
  /** Of an append after which more follows. */
  readonly appendStatus: 201 | 204;
  /** 104s with the offset while the body comes. */
  readonly progress: boolean;
  /** Members of `Upload-Limit` that say how long the upload stays. */
  readonly age: readonly ("expires" | "max-age")[];
  /** Fields that a HEAD, and a DELETE, must not have. */
  readonly refusedOnHead: readonly string[];
  readonly refusedOnDelete: readonly string[];
}

const draft03 = {
  completeness: "upload-complete",
  unsaid: "at-length",
  addressed: true,
  appendType: "any",
  appendStatus: 201,
  progress: true,
  age: [],
  refusedOnHead: ["upload-offset", "upload-complete"],
  refusedOnDelete: ["upload-offset", "upload-complete"],
} as const satisfies Omit<Dialect, "version">;

const draft11 = {
  ...draft03,
  unsaid: "no",
  addressed: false,
  appendType: partialUploadType,
  appendStatus: 204,
  age: ["max-age"],
  refusedOnHead: [],
  refusedOnDelete: [],
} as const satisfies Omit<Dialect, "version">;

const newest: Dialect = { version: 8, ...draft11 };

const oldest: Dialect = {
  version: 3,
  ...draft03,
  completeness: "upload-incomplete",
  unsaid: "yes",
  progress: false,
  refusedOnHead: ["upload-offset", "upload-incomplete"],
  refusedOnDelete: ["upload-offset", "upload-incomplete"],
};

/** Interop versions: 3 is -01, 4 is -02, 5 is -03, 6 is -04 and -05, 7 is -06 to -08, 8 is -09 to -11. */
export const dialects: readonly Dialect[] = [
  oldest,
  { version: 4, ...draft03, progress: false },
  { version: 5, ...draft03 },
  {
    version: 6,
    ...draft03,
    appendType: partialUploadType,
    age: ["expires", "max-age"],
    refusedOnHead: ["upload-offset", "upload-complete", "upload-length"],
  },
  { version: 7, ...draft11 },
  newest,
];

export interface Spoken {
  readonly dialect: Dialect;
  /** The request names a version that we know: only then may it be answered with 104s. */
  readonly named: boolean;
}

/** Whether the request has any field by which an upload can be made resumable. Cheap: asked of all. */
export function speaksResumable(headers: IncomingHttpHeaders): boolean {
  return (
    headers["upload-complete"] !== undefined ||
    headers["upload-draft-interop-version"] !== undefined ||
    headers["upload-incomplete"] !== undefined
  );
}

/** An unknown version, or none, is taken for the newest; without one the field's name tells the oldest. */
export function spokenDialect(headers: IncomingHttpHeaders): Spoken {
  const version = parseCountField(headers["upload-draft-interop-version"]);
  const known = dialects.find((dialect) => dialect.version === version);
  if (known !== undefined) return { dialect: known, named: true };
  const isOldest =
    headers["upload-incomplete"] !== undefined && headers["upload-complete"] === undefined;
  return { dialect: isOldest ? oldest : newest, named: false };
}

/** Whether the content ends the upload; `undefined` when the request does not say. */
export function completeness(
  headers: IncomingHttpHeaders,
  { dialect }: Spoken,
): boolean | undefined {
  const said = parseBooleanField(headers[dialect.completeness]);
  if (said === undefined) return undefined;
  return dialect.completeness === "upload-incomplete" ? !said : said;
}

/** `invalid_request` names the field. */
export function refuseFields(headers: IncomingHttpHeaders, refused: readonly string[]): void {
  const header = refused.find((name) => headers[name] !== undefined);
  if (header === undefined) return;
  throw new OperationalError("invalid_request", `${header} must not be sent with this method`, {
    context: { header },
  });
}
