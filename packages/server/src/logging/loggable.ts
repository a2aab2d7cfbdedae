/**
 * What a log line may say: fields bounded in depth, number and length, and no secret among them. Secrets are
 * known by the name of their field, and in texts by the forms in which credentials are sent: this is the last
 * net, under the rule that nothing secret is given to the log.
 */

const redacted = "[redacted]";
const depthMax = 6;
const itemsMax = 100;
const textMax = 4096;

/** By name, whatever the case and the separators. */
const secretName =
  /secret|passw|authorization|cookie|credential|signature|^(?:grant|token|pass|session|securitytoken|sessiontoken|accesstoken|x-.*-token)$/i;
/** Names that look so and say nothing secret. */
const plainName = /^(?:signatureV2|credentials?(?:Source|Kind|From))$/;

/** Fields as they are written. */
export function loggable(fields: object): Record<string, unknown> {
  const made = walk(fields, 0);
  return typeof made === "object" && made !== null && !Array.isArray(made)
    ? (made as Record<string, unknown>)
    : { value: made };
}

function walk(value: unknown, depth: number): unknown {
  if (typeof value === "string") return scrub(value);
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "function" || typeof value === "symbol") return undefined;
  if (typeof value !== "object" || value === null) return value;
  if (depth >= depthMax) return "[deeper]";
  if (value instanceof Error) return errorFields(value, depth);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (Array.isArray(value)) {
    const items = value.slice(0, itemsMax).map((item) => walk(item, depth + 1));
    return value.length > itemsMax ? [...items, `[${value.length - itemsMax} more]`] : items;
  }
  if ("toJSON" in value && typeof value.toJSON === "function") {
    return walk(value.toJSON(), depth + 1);
  }
  const made: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(value).slice(0, itemsMax)) {
    made[name] = isSecret(name, field) ? redacted : walk(field, depth + 1);
  }
  return made;
}

function isSecret(name: string, field: unknown): boolean {
  if (field === null || field === undefined || typeof field === "boolean") return false;
  return secretName.test(name) && !plainName.test(name);
}

function errorFields(error: Error, depth: number): Record<string, unknown> {
  const { name, message, stack = "", cause } = error;
  const others = Object.entries(error).filter(([field]) => !standard.has(field));
  return {
    type: name,
    message: scrub(message),
    stack: scrub(stack),
    ...(walk(Object.fromEntries(others), depth) as object),
    ...(cause === undefined ? {} : { cause: walk(cause, depth + 1) }),
  };
}

const standard: ReadonlySet<string> = new Set(["name", "message", "stack", "cause"]);

/** `Bearer …`, `Basic …`. */
const schemes = /\b(bearer|basic)(\s+)[a-z0-9._~+/=-]{8,}/gi;
/** Of signed requests and grants in addresses, and of header lines. */
const parameters =
  /\b(x-(?:amz|oss|obs)-(?:signature|credential|security-token)|signature|ossaccesskeyid|awsaccesskeyid|security-token|grant|secret|password|token|secretaccesskey)(=|%3d|":\s?"|: )[^&#\s"',;)]{1,4096}/gi;
/** `https://name:password@host`. */
const userInfo = /(\w:\/\/)[^/\s:@"]{0,256}:[^/\s@"]{1,256}@/g;
/** A grant or another token of three parts, wherever it stands. */
const tokens = /\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+){1,2}/g;

/** A text without the credentials that can be known by their form; linear in its length, which is bounded. */
export function scrub(text: string): string {
  const cut = text.length > textMax ? `${text.slice(0, textMax)}… [cut]` : text;
  return cut
    .replaceAll(schemes, `$1$2${redacted}`)
    .replaceAll(parameters, `$1$2${redacted}`)
    .replaceAll(userInfo, `$1${redacted}@`)
    .replaceAll(tokens, redacted);
}
