/** Answers about direct uploads, checked field by field. */
import type {
  DirectPartJson,
  DirectUploadJson,
  SignedRequestJson,
  SignedRequestsJson,
} from "@roma/contract";
import { bad, fieldsOf, list, number, oneOf, string } from "../fields.ts";
import { parseMetadata } from "../parse.ts";

/** An upload whose challenge is not looked at yet. */
export type DirectUploadAnswer = Omit<DirectUploadJson, "transfer"> & {
  readonly transfer:
    | Extract<DirectUploadJson["transfer"], { readonly kind: "put" | "parts" }>
    | { readonly kind: "proof"; readonly challenge: unknown };
};

export function parseDirectUpload(value: unknown): DirectUploadAnswer {
  const fields = fieldsOf(value, "upload");
  return {
    id: string(fields, "id"),
    bucket: string(fields, "bucket"),
    key: string(fields, "key"),
    length: number(fields, "length"),
    via: oneOf(fields, "via", ["storage", "server"]),
    expiresAt: string(fields, "expiresAt"),
    transfer: parseTransfer(fields.transfer),
  };
}

function parseTransfer(value: unknown): DirectUploadAnswer["transfer"] {
  const fields = fieldsOf(value, "transfer");
  const kind = oneOf(fields, "kind", ["put", "parts", "proof"]);
  if (kind === "put") return { kind, request: parseRequest(fields.request) };
  if (kind === "proof") return { kind, challenge: fields.challenge };
  const partBytes = number(fields, "partBytes");
  if (!(partBytes > 0)) throw bad("partBytes");
  return {
    kind,
    partBytes,
    partCount: number(fields, "partCount"),
    requests: parseRequests(fields.requests),
    parts: list(fields, "parts", parsePart),
  };
}

export function parseSignedRequests(value: unknown): SignedRequestsJson {
  return { requests: parseRequests(fieldsOf(value, "requests").requests) };
}

function parseRequests(value: unknown): Readonly<Record<string, SignedRequestJson>> {
  const entries = Object.entries(fieldsOf(value, "requests"));
  return Object.fromEntries(entries.map(([name, request]) => [name, parseRequest(request)]));
}

function parseRequest(value: unknown): SignedRequestJson {
  const fields = fieldsOf(value, "request");
  return {
    method: oneOf(fields, "method", ["PUT"]),
    url: string(fields, "url"),
    headers: parseMetadata(fields.headers),
    expiresAt: string(fields, "expiresAt"),
  };
}

function parsePart(value: unknown): DirectPartJson {
  const fields = fieldsOf(value, "part");
  return {
    number: number(fields, "number"),
    length: number(fields, "length"),
    etag: string(fields, "etag"),
  };
}
