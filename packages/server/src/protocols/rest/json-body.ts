/** Small JSON bodies: bounded, strict, and verified against the signature's digest. */
import { createHash } from "node:crypto";
import { safeParse as parseContentType } from "fast-content-type-parse";
import type { FastifyRequest } from "fastify";
import type { z } from "zod";
import { OperationalError } from "../../core/errors.ts";
import { receiveBytes } from "../../http/index.ts";
import type { Exchange } from "./services.ts";

const jsonBytesMax = 64 * 1024;

/**
 * The body as the schema has it; an empty one counts as `{}`. `invalid_request` names the field,
 * `too_large` the limit.
 */
export async function receiveJson<T extends z.ZodType>(
  { request, reply, caller }: Exchange,
  schema: T,
  options: { readonly bytesMax?: number } = {},
): Promise<z.output<T>> {
  assertJsonType(request);
  const bytes = await receiveBytes(request, reply, {
    bytesMax: options.bytesMax ?? jsonBytesMax,
    bytesMaxName: "the limit of a JSON body",
  });
  if (caller.bodySha256 !== undefined) assertDigest(bytes, caller.bodySha256);
  return parseAs(schema, bytes);
}

/** `invalid_request` names the field. */
export function parseAs<T extends z.ZodType>(schema: T, bytes: Buffer): z.output<T> {
  const result = schema.safeParse(parseJson(bytes));
  if (result.success) return result.data;
  throw wrongField(result.error.issues);
}

/**
 * Clients in browsers must say that it is JSON: forms of other sites cannot, and so cannot use what
 * credentials the browser holds. Others may leave it to their tool's default.
 */
function assertJsonType(request: FastifyRequest): void {
  const { "content-type": header, origin } = request.headers;
  if (origin === undefined || header === undefined) return;
  const { type } = parseContentType(header);
  if (type === "application/json" || type.endsWith("+json")) return;
  throw new OperationalError("invalid_request", "Content-Type is not application/json", {
    context: { header: "Content-Type" },
  });
}

function assertDigest(bytes: Buffer, sha256: Uint8Array): void {
  if (createHash("sha256").update(bytes).digest().equals(sha256)) return;
  throw new OperationalError("checksum_mismatch", "the body differs from x-amz-content-sha256");
}

function parseJson(bytes: Buffer): unknown {
  if (bytes.length === 0) return {};
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new OperationalError("invalid_request", "the body is not JSON in UTF-8");
  }
}

/** The first thing wrong, by its path; an unknown field by its name. */
function wrongField(issues: readonly z.core.$ZodIssue[]): OperationalError {
  const [issue] = issues;
  const path = issue?.path.map(String) ?? [];
  if (issue?.code === "unrecognized_keys") {
    const field = [...path, issue.keys[0] ?? ""].join(".").slice(0, 200);
    return new OperationalError("invalid_request", `field ${JSON.stringify(field)} is not known`, {
      context: { field },
    });
  }
  const field = path.join(".").slice(0, 200);
  const what = (issue?.message ?? "is not valid").replace(/^Invalid input: /, "");
  const subject = field === "" ? "the body" : `field ${JSON.stringify(field)}`;
  return new OperationalError("invalid_request", `${subject}: ${what}`, {
    context: field === "" ? {} : { field },
  });
}
