/**
 * The OpenAPI 3.1 document of the protocol, put together from the rows of its operations. A test
 * holds it against the routes that are registered.
 */
import type { ErrorCode } from "@roma/contract";
import { basePath } from "./address.ts";
import { errorTable } from "./errors.ts";
import { operationRows } from "./openapi-operations.ts";
import type { OperationRow } from "./openapi-rows.ts";
import { componentSchemas, type JsonObject, ref } from "./openapi-schemas.ts";

const text: JsonObject = { type: "string" };
const instant: JsonObject = { type: "string", format: "date-time" };

const pathParameters: JsonObject = {
  bucket: { name: "bucket", in: "path", required: true, schema: text },
  key: {
    name: "key",
    in: "path",
    required: true,
    schema: text,
    description:
      "1 to 1,024 bytes of UTF-8, percent-encoded; `/` stands as it is. No segment `.` or `..`, no NUL.",
  },
  id: { name: "id", in: "path", required: true, schema: text },
  number: {
    name: "number",
    in: "path",
    required: true,
    schema: { type: "integer", minimum: 1, maximum: 10_000 },
  },
};

const parameters: JsonObject = {
  prefix: query("prefix", text, "Only keys that begin with it."),
  delimiter: query("delimiter", text, "Keys are grouped up to it, after the prefix."),
  cursor: query("cursor", text, "From the page before; for the same query only."),
  limit: query(
    "limit",
    { type: "integer", minimum: 1, maximum: 1000, default: 1000 },
    "Objects and prefixes on the page.",
  ),
  deletedAfter: query("deletedAfter", instant, "Deleted at this moment or later."),
  deletedBefore: query("deletedBefore", instant, "Deleted earlier than this."),
  forget: query("forget", text, "Its id may be given to another storage."),
  origin: query("origin", text, "Of a page, as browsers name it."),
  delete: query("delete", text, "The body is a list of keys to delete."),
  download: query(
    "download",
    text,
    "To be saved under this name; empty for the key's last segment.",
  ),
  "posted-key": query("key", text, "Of content that is no form; left out: one is made."),
  parts: query("parts", text, "Of a direct upload: what is there, and requests for what is not."),
  expires: query("expires", text, "Of the signed request, in seconds since 1970."),
  signature: query("signature", text, "Of the signed request."),
  "x-oss-pub-key-url": header(
    "x-oss-pub-key-url",
    "Base64 of where the key is that proves OSS's signature: on `gosspublic.alicdn.com`.",
  ),
  "posted-filename": query("filename", text, "Of the client's file, for the key that is made."),
  "bucket-filter": query("bucket", text, "Only uploads to this bucket."),
  "environment-bucket": query("bucket", text, "Whose own environment is told, if it has one."),
  "If-Match": header("If-Match", "Entity tags of which the object must have one, or `*`."),
  "If-None-Match": header("If-None-Match", "Entity tags that the object must not have, or `*`."),
  "If-None-Match-Any": header("If-None-Match", "Only `*`: the key must not exist."),
  "If-Modified-Since": header("If-Modified-Since", "An HTTP date."),
  "If-Unmodified-Since": header("If-Unmodified-Since", "An HTTP date."),
  since: query("since", { type: "string", format: "date-time" }, "At this instant or later."),
  until: query("until", { type: "string", format: "date-time" }, "Before this instant."),
  "audit-bucket": query("bucket", text, "Of a copy or move also those whose source it is."),
  "audit-key": query("key", text, "Of an object; the whole key."),
  actor: query("actor", text, "The id of an access key; also of the grants that it signed."),
  action: query("action", text, "`object.deleted` and others."),
  format: query("format", { type: "string", enum: ["json", "ndjson"] }, "`ndjson`: all, as lines."),
  Range: header("Range", "`bytes=0-9`, several with commas."),
  "If-Range": header("If-Range", "An entity tag or date; otherwise the whole is sent."),
  "Content-Type": header("Content-Type", "Compared with the bytes; what they show wins."),
  "Content-MD5": header("Content-MD5", "Base64; verified."),
  "Content-Digest": header(
    "Content-Digest",
    "RFC 9530: `sha-256`, `md5`, `sha`, `crc32c`, `crc64nvme`; verified.",
  ),
  "Repr-Digest": header("Repr-Digest", "As `Content-Digest`."),
  "Want-Repr-Digest": header(
    "Want-Repr-Digest",
    "`sha-256=1`: to be computed on PUT, to be sent on GET.",
  ),
  "Upload-Complete": header(
    "Upload-Complete",
    "`?1`: this content ends the upload; `?0`: more follows.",
  ),
  "Upload-Offset": header("Upload-Offset", "Where the content goes: where the upload is."),
  "Upload-Length": header("Upload-Length", "Of the whole upload, as soon as it is known."),
  "Upload-Draft-Interop-Version": header(
    "Upload-Draft-Interop-Version",
    "3 to 8: the draft of resumable uploads that the client speaks.",
  ),
  "Roma-Environment": header(
    "Roma-Environment",
    "The environment that the client means: a request to another one is refused.",
  ),
  "Roma-Timeout": header(
    "Roma-Timeout",
    "How long the client waits: milliseconds, or a number with ms, s or min. Refused in time, the request has no effect.",
  ),
  "Idempotency-Key": header(
    "Idempotency-Key",
    "Of the client's choice. The request takes effect once; repeats get its one answer for a day.",
  ),
  "Roma-Meta-NAME": header(
    "Roma-Meta-NAME",
    "User metadata, a field per name; the value in percent-encoded UTF-8.",
  ),
};

const headers: JsonObject = {
  ETag: { schema: text, description: "A strong entity tag." },
  Location: { schema: text, description: "Where it is, relative to the server." },
  "Repr-Digest": { schema: text, description: "`crc64nvme` always, others as wanted and known." },
  "Last-Modified": { schema: text },
  "Accept-Ranges": { schema: text },
  "Content-Range": { schema: text },
  "Roma-Version": { schema: text, description: "Names this state of the object." },
  "Roma-Meta-NAME": { schema: text, description: "User metadata, a field per name." },
  "Roma-Context": {
    schema: text,
    description: "JSON in ASCII: of the grant that wrote it. Shown to access keys alone.",
  },
  "Cache-Control": { schema: text },
  "Content-Disposition": { schema: text, description: "With `?download`." },
  "Content-Security-Policy": { schema: text, description: "For types that a browser could run." },
  "Cross-Origin-Resource-Policy": { schema: text },
  "Upload-Complete": { schema: text, description: "`?1`: this is the answer to the whole." },
  "Upload-Offset": { schema: { type: "integer" }, description: "Durable bytes." },
  "Upload-Length": { schema: { type: "integer" } },
  "Upload-Limit": { schema: text, description: "`max-size` in bytes, `max-age` in seconds." },
  "Retry-After": { schema: { type: "integer" } },
  "WWW-Authenticate": { schema: text },
  "Roma-Environment": { schema: text, description: "Of the data; absent where it has none." },
  "Roma-Request-Id": { schema: text, description: "The problem's `requestId`." },
};

const credentials: readonly JsonObject[] = [
  { basic: [] },
  { bearer: [] },
  { sigv4: [] },
  { grant: [] },
];

const tags = [
  ...["buckets", "objects", "trash"],
  ...["access", "storages", "uploads"],
  ...["bulk deletes", "audit", "environment", "description"],
];

/** Errors that any guarded route may answer. */
const commonErrors: readonly ErrorCode[] = [
  "invalid_request",
  "unauthenticated",
  "access_denied",
  "expired",
  "overloaded",
  "environment_mismatch",
  "read_only",
  "internal",
];

export function openapiDocument({ publicUrl = "/" }: { readonly publicUrl?: string }): JsonObject {
  return {
    openapi: "3.1.0",
    info: {
      title: "Roma",
      version: "1",
      description:
        "Files in, verified and durable. Every refusal is a problem document (RFC 9457) with a `code`.",
    },
    servers: [
      {
        url: `${publicUrl.replace(/\/$/, "")}${basePath}`,
      },
    ],
    security: [...credentials],
    tags: tags.map((name) => ({ name })),
    paths: paths(),
    components: {
      schemas: componentSchemas(),
      parameters: { ...pathParameters, ...parameters },
      headers,
      responses: problems(),
      securitySchemes: {
        basic: { type: "http", scheme: "basic", description: "Key id and secret." },
        bearer: { type: "http", scheme: "bearer", description: "`ID.SECRET`, or a grant." },
        grant: { type: "apiKey", in: "query", name: "grant", description: "A grant." },
        sigv4: {
          type: "apiKey",
          in: "header",
          name: "Authorization",
          description: "AWS Signature Version 4 with service `s3` and any region, in the header.",
        },
      },
    },
  };
}

function paths(): JsonObject {
  const items: Record<string, Record<string, JsonObject>> = {};
  for (const [name, row] of Object.entries(operationRows)) {
    const [method = "", path = ""] = name.split(" ");
    const item = items[path] ?? {};
    items[path] = item;
    item[method.toLowerCase()] = operation(path, row, { changes: method !== "GET" });
    if (method === "GET" && operationRows[`HEAD ${path}`] === undefined) {
      item.head = operation(path, headOf(row), { changes: false });
    }
  }
  return items;
}

function operation(
  path: string,
  row: OperationRow,
  { changes }: { readonly changes: boolean },
): JsonObject {
  const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => name);
  const isGuarded = row.tag !== "description";
  const isKeyed = changes && isGuarded;
  const used = [
    ...[...named, ...(row.parameters ?? [])],
    ...(isGuarded ? ["Roma-Environment", "Roma-Timeout"] : []),
    ...(isKeyed ? ["Idempotency-Key"] : []),
  ];
  const answers = Object.entries(row.answers).map(([status, answer]) => {
    const names = [...(answer.headers ?? []), "Roma-Environment"];
    const fields = Object.fromEntries(names.map((name) => [name, headerRef(name)]));
    const { description, content } = answer;
    return [
      status,
      { description, headers: fields, ...(content === undefined ? {} : { content }) },
    ] as const;
  });
  return {
    operationId: row.id,
    tags: [row.tag],
    summary: row.summary,
    ...(row.description === undefined ? {} : { description: row.description }),
    ...(row.anonymous === true ? { security: [{}, ...credentials] } : {}),
    parameters: used.map((name) => ({ $ref: `#/components/parameters/${name}` })),
    ...(row.body === undefined ? {} : { requestBody: row.body }),
    responses: {
      ...Object.fromEntries(answers),
      ...refusals(row),
      ...(isKeyed ? { 422: { $ref: "#/components/responses/Problem422" } } : {}),
    },
  };
}

/** The same answers, without content. */
function headOf(row: OperationRow): OperationRow {
  const answers = Object.entries(row.answers).map(([status, { content: _content, ...rest }]) => {
    return [status, rest] as const;
  });
  return {
    ...row,
    id: `head${row.id.charAt(0).toUpperCase()}${row.id.slice(1)}`,
    summary: `${row.summary}: headers only`,
    answers: Object.fromEntries(answers),
  };
}

/** Several codes may share a status; their one response names them all. */
function refusals(row: OperationRow): JsonObject {
  if (row.tag === "description") return {};
  const codes = [...commonErrors, ...(row.errors ?? [])];
  const statuses = new Set(codes.map((code) => errorTable[code].status));
  return Object.fromEntries(
    [...statuses]
      .sort()
      .map((status) => [status, { $ref: `#/components/responses/Problem${status}` }]),
  );
}

function problems(): JsonObject {
  const byStatus = Map.groupBy(Object.entries(errorTable), ([, { status }]) => status);
  const responses = [...byStatus].map(([status, entries]) => {
    const names = [
      "Roma-Request-Id",
      "Roma-Environment",
      ...(status === 401 ? ["WWW-Authenticate"] : []),
      ...([429, 503, 507].includes(status) ? ["Retry-After"] : []),
      ...(status === 416 ? ["Content-Range"] : []),
    ];
    const response: JsonObject = {
      description: entries.map(([code, { title }]) => `\`${code}\`: ${title}.`).join(" "),
      headers: Object.fromEntries(names.map((name) => [name, headerRef(name)])),
      content: { "application/problem+json": { schema: ref("Problem") } },
    };
    return [`Problem${status}`, response] as const;
  });
  const [, plain] = responses.find(([name]) => name === "Problem400") ?? [];
  const description = "The Idempotency-Key was given for another request.";
  return { ...Object.fromEntries(responses), Problem422: { ...plain, description } };
}

function headerRef(name: string): JsonObject {
  return { $ref: `#/components/headers/${name}` };
}

function query(name: string, schema: JsonObject, description: string): JsonObject {
  return { name, in: "query", schema, description };
}

function header(name: string, description: string): JsonObject {
  return { name, in: "header", schema: text, description };
}
