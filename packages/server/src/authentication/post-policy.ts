/**
 * The policy of a form that a browser posts: what its signer allows, and until when. Every field of the
 * form must be covered by a condition and every condition must hold, or nothing is stored.
 */
import { S3Refusal } from "./s3-refusal.ts";

export interface PostForm {
  /** The one that the request was routed to, whatever the form says. */
  readonly bucket: string;
  /** All that came before the file, by lower-case name; `key` as it was sent. */
  readonly fields: ReadonlyMap<string, string>;
  /** With the file's name in the place of `${filename}`: see `formKey`. */
  readonly key: string;
}

/** Bounds of the file, both within. */
export interface LengthRange {
  readonly min: number;
  readonly max: number;
}

export interface PostPolicy {
  readonly expiresAt: Date;
  readonly conditions: readonly Condition[];
  /** Left out: any length. */
  readonly lengthRange?: LengthRange;
}

interface Condition {
  readonly operator: "eq" | "starts-with";
  /** Lower case, without `$`. */
  readonly field: string;
  readonly value: string;
}

/** The file's own name, without folders, stands for `${filename}`. */
export function formKey(key: string, filename: string): string {
  const name = filename.slice(Math.max(filename.lastIndexOf("/"), filename.lastIndexOf("\\")) + 1);
  // A function, since a text would have `$&` and its kin replaced.
  return key.replaceAll(/\$\{filename\}/g, () => name);
}

/** `InvalidPolicyDocument` for what is not base64 of a policy; the names are told apart by case. */
export function parsePostPolicy(encoded: string): PostPolicy {
  const document = parseJson(encoded);
  const { expiration, conditions } = document;
  if (typeof expiration !== "string" || !isoPattern.test(expiration)) {
    throw badDocument("expiration is not an instant like 2030-01-02T03:04:05.000Z");
  }
  const expiresAt = new Date(expiration);
  if (Number.isNaN(expiresAt.getTime())) throw badDocument("expiration is no date");
  if (!Array.isArray(conditions)) throw badDocument("conditions is not a list");
  const items: readonly unknown[] = conditions;
  const parsed = items.flatMap(parseCondition);
  const ranges = parsed.filter((condition) => "min" in condition);
  const rest = { expiresAt, conditions: parsed.filter((condition) => "field" in condition) };
  if (ranges.length === 0) return rest;
  const min = Math.max(...ranges.map((range) => range.min));
  const max = Math.min(...ranges.map((range) => range.max));
  return { ...rest, lengthRange: { min, max } };
}

/** `AccessDenied` once it has expired, for a condition that fails and for a field that has none. */
export function assertPolicy(policy: PostPolicy, form: PostForm, now: Date): void {
  if (policy.expiresAt <= now) throw denied("Policy expired");
  const covered = new Set(policy.conditions.map(({ field }) => field));
  // The bucket is in the address and not in the form, but it is said there all the same.
  for (const field of ["bucket", "key", ...form.fields.keys()]) {
    if (!covered.has(field) && !exempt.test(field)) {
      throw denied(`Extra input fields: ${field}`);
    }
  }
  for (const condition of policy.conditions) {
    if (!holds(condition, form)) {
      const { operator, field, value } = condition;
      throw denied(`Policy Condition failed: ["${operator}", "$${field}", "${value}"]`);
    }
  }
}

/** What proves the policy cannot be part of it; checksums are compared with the bytes themselves. */
const exempt =
  /^(?:file|policy|signature|awsaccesskeyid|x-amz-(?:signature|algorithm|credential|date)|x-amz-checksum-.*|x-ignore-.*)$/;

function holds({ operator, field, value }: Condition, { bucket, fields, key }: PostForm): boolean {
  if (field === "bucket") {
    const said = fields.get("bucket") ?? bucket;
    return said === bucket && matches(operator, bucket, value);
  }
  const sent = fields.get(field) ?? "";
  if (field === "key") {
    // A signer who wrote the placeholder means every file's name.
    return matches(operator, key, value) || (operator === "eq" && sent === value);
  }
  if (field === "content-type" && operator === "starts-with") {
    return sent.split(",").every((one) => one.trim().startsWith(value));
  }
  return matches(operator, sent, value);
}

function matches(operator: Condition["operator"], text: string, value: string): boolean {
  return operator === "eq" ? text === value : text.startsWith(value);
}

const isoPattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z$/;

function parseJson(encoded: string): Readonly<Record<string, unknown>> {
  const bytes = Buffer.from(encoded, "base64");
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    const value: unknown = JSON.parse(text);
    if (isRecord(value)) return value;
  } catch (error) {
    if (!(error instanceof SyntaxError || error instanceof TypeError)) throw error;
  }
  throw badDocument("it is not base64 of a JSON object");
}

function parseCondition(item: unknown): readonly (Condition | LengthRange)[] {
  if (Array.isArray(item)) return [parseList(item)];
  const entries = isRecord(item) ? Object.entries(item) : [];
  if (entries.length === 0) throw badDocument("a condition is neither a list nor an object");
  return entries.map(([name, value]): Condition => {
    if (typeof value !== "string") throw badDocument(`the condition for ${name} is not a text`);
    return { operator: "eq", field: name.toLowerCase(), value };
  });
}

function parseList(item: readonly unknown[]): Condition | LengthRange {
  const [first, second, third] = item;
  const operator = typeof first === "string" ? first.toLowerCase() : "";
  if (item.length !== 3) throw badDocument("a condition is not a list of three");
  if (operator === "content-length-range") {
    return { min: byteCount(second), max: byteCount(third) };
  }
  if (operator !== "eq" && operator !== "starts-with") {
    throw badDocument("a condition is none of eq, starts-with and content-length-range");
  }
  if (typeof second !== "string" || !second.startsWith("$") || typeof third !== "string") {
    throw badDocument(`a condition ${operator} is not of a field with $ and a text`);
  }
  return { operator, field: second.slice(1).toLowerCase(), value: third };
}

function byteCount(value: unknown): number {
  const bytes = typeof value === "string" && /^\d{1,15}$/.test(value) ? Number(value) : value;
  if (typeof bytes === "number" && Number.isSafeInteger(bytes) && bytes >= 0) return bytes;
  throw badDocument("content-length-range is not two numbers of bytes");
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function badDocument(why: string): S3Refusal {
  return new S3Refusal("InvalidPolicyDocument", `Invalid Policy: ${why}`);
}

function denied(why: string): S3Refusal {
  return new S3Refusal("AccessDenied", `Invalid according to Policy: ${why}`, {
    code: "access_denied",
  });
}
