/** Rows of the OpenAPI document's operations, and what several of them say. */
import type { ErrorCode } from "@roma/contract";
import { type JsonObject, ref } from "./openapi-schemas.ts";

export interface OperationRow {
  readonly id: string;
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  /** Names in `components.parameters`, without those of the path. */
  readonly parameters?: readonly string[];
  readonly body?: JsonObject;
  readonly answers: Readonly<Record<string, Answer>>;
  readonly errors?: readonly ErrorCode[];
  /** Answers without a credential, at least for public buckets. */
  readonly anonymous?: boolean;
}

export interface Answer {
  readonly description: string;
  readonly content?: JsonObject;
  /** Names in `components.headers`. */
  readonly headers?: readonly string[];
}

export const json = (name: string): JsonObject => ({ "application/json": { schema: ref(name) } });
export const jsonBody = (name: string): JsonObject => ({ required: true, content: json(name) });
export const bytes: JsonObject = { "*/*": { schema: { type: "string", format: "binary" } } };
export const gone: Readonly<Record<string, Answer>> = { "204": { description: "Done." } };
export const ok = (description: string, name: string): Readonly<Record<string, Answer>> => ({
  "200": { description, content: json(name) },
});

export const writtenHeaders = ["ETag", "Repr-Digest"];
export const written: Readonly<Record<string, Answer>> = {
  "200": {
    description: "It replaced an object.",
    content: json("Object"),
    headers: writtenHeaders,
  },
  "201": {
    description: "It is new.",
    content: json("Object"),
    headers: ["Location", ...writtenHeaders],
  },
};
export const writeErrors: readonly ErrorCode[] = [
  "invalid_key",
  "bucket_not_found",
  "too_large",
  "too_small",
  "content_type_refused",
  "checksum_mismatch",
  "incomplete_body",
  "request_timeout",
  "storage_full",
  "object_retained",
  "unavailable",
];
/** Of requests that begin an upload which can be resumed. */
export const creationParameters = [
  "Upload-Complete",
  "Upload-Length",
  "Upload-Draft-Interop-Version",
];
export const creationErrors: readonly ErrorCode[] = ["quota_exceeded", "rate_limited", "locked"];
export const stateFields = ["Upload-Offset", "Upload-Complete", "Upload-Length", "Upload-Limit"];

export function withStateFields(
  answers: Readonly<Record<string, Answer>>,
): Readonly<Record<string, Answer>> {
  return Object.fromEntries(
    Object.entries(answers).map(([status, answer]) => {
      return [status, { ...answer, headers: [...(answer.headers ?? []), ...stateFields] }] as const;
    }),
  );
}
