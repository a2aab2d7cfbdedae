/**
 * Structured fields (RFC 9651) as far as resumable uploads need them: Boolean and Integer items read,
 * a dictionary of integers written. An invalid value makes the whole field ignored, so reading answers
 * `undefined` for it, as for a field that is not there.
 */

type FieldValue = string | readonly string[] | undefined;

const key = "[a-z*][a-z0-9_.*-]*";
const bareItem = [
  String.raw`-?\d{1,12}\.\d{1,3}`,
  String.raw`@?-?\d{1,15}`,
  String.raw`"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"`,
  String.raw`[A-Za-z*][!#$%&'*+\-.^_\x60|~\w:/]*`,
  ":[A-Za-z0-9+/=]*:",
  String.raw`\?[01]`,
].join("|");
/** §3.1.2: parameters are permitted on every item; ours have none that mean anything. */
const parameters = `(?:; *${key}(?:=(?:${bareItem}))?)*`;
const booleanItem = new RegExp(String.raw`^ *\?([01])${parameters} *$`);
const integerItem = new RegExp(String.raw`^ *(\d{1,15})${parameters} *$`);

const fieldCharactersMax = 1024;

/** §3.3.6. */
export function parseBooleanField(value: FieldValue): boolean | undefined {
  const digit = matched(booleanItem, value);
  return digit === undefined ? undefined : digit === "1";
}

/** §3.3.1, without negative ones. */
export function parseCountField(value: FieldValue): number | undefined {
  const digits = matched(integerItem, value);
  return digits === undefined ? undefined : Number(digits);
}

export function formatBooleanField(value: boolean): string {
  return value ? "?1" : "?0";
}

/** §4.1.2: members in their order. Values are whole numbers of at most 15 digits. */
export function formatCountsField(members: Readonly<Record<string, number>>): string {
  return Object.entries(members)
    .map(([name, value]) => `${name}=${value}`)
    .join(", ");
}

/** Lines of one field were joined with commas before: two of an item are no item. */
function matched(pattern: RegExp, value: FieldValue): string | undefined {
  if (typeof value !== "string" || value.length > fieldCharactersMax) return undefined;
  return pattern.exec(value)?.[1];
}
