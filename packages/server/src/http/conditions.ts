/**
 * Conditional requests, RFC 9110 §13. Reading headers never throws: a malformed list of entity tags
 * matches nothing, a malformed date is ignored, as the RFC asks.
 */

export interface EntityTag {
  readonly weak: boolean;
  /** Without quotes. */
  readonly value: string;
}

export type EntityTags = "*" | readonly EntityTag[];

/** What the conditions are held against. */
export interface Validators {
  /** Strong, without quotes. */
  readonly etag: string;
  readonly modifiedAt: Date;
}

/** Header values as they came, lower-case names. */
export type ConditionHeaders = Readonly<Record<string, string | readonly string[] | undefined>>;

/** `proceed`, or answer 304 or 412 instead. */
export type Verdict = "proceed" | "not-modified" | "precondition-failed";

const tagsMax = 1000;

function headerText(headers: ConditionHeaders, name: string): string | undefined {
  const value = headers[name];
  return typeof value === "string" || value === undefined ? value : value.join(", ");
}

/**
 * A list of entity tags, scanned once from left to right. `undefined` if there is no header, an
 * empty list if it is malformed. A comma inside the quotes belongs to the tag; a tag without quotes
 * is taken as it is.
 */
export function parseEntityTags(header: string | undefined): EntityTags | undefined {
  if (header === undefined) return undefined;
  const text = header.trim();
  if (text === "*") return "*";
  const tags: EntityTag[] = [];
  let at = 0;
  for (;;) {
    while (text[at] === " " || text[at] === "\t" || text[at] === ",") at++;
    if (at >= text.length) return tags;
    const weak = text.startsWith("W/", at);
    if (weak) at += 2;
    if (tags.length >= tagsMax) return [];
    const quoted = text[at] === '"';
    const end = quoted ? text.indexOf('"', at + 1) : endOfToken(text, at);
    if (end <= at) return [];
    tags.push({ weak, value: text.slice(quoted ? at + 1 : at, end) });
    at = quoted ? end + 1 : end;
    while (text[at] === " " || text[at] === "\t") at++;
    if (at < text.length && text[at] !== ",") return [];
  }
}

/** Clients of S3 leave the quotes out, and are understood there. */
function endOfToken(text: string, start: number): number {
  let at = start;
  while (at < text.length && !' \t,"'.includes(text[at] ?? "")) at++;
  return at;
}

/** RFC 9110 §8.8.3.2: with strong comparison a weak tag never matches. Ours are strong. */
export function entityTagMatches(
  tags: EntityTags,
  etag: string | undefined,
  comparison: "strong" | "weak",
): boolean {
  if (etag === undefined) return false;
  if (tags === "*") return true;
  return tags.some((tag) => tag.value === etag && (comparison === "weak" || !tag.weak));
}

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const imfDate = /^[A-Z][a-z]{2}, (\d{2}) ([A-Z][a-z]{2}) (\d{4}) (\d{2}):(\d{2}):(\d{2}) GMT$/;
const rfc850Date = /^[A-Z][a-z]{5,8}, (\d{2})-([A-Z][a-z]{2})-(\d{2}) (\d{2}):(\d{2}):(\d{2}) GMT$/;
const asctimeDate = /^[A-Z][a-z]{2} ([A-Z][a-z]{2}) ([ \d]\d) (\d{2}):(\d{2}):(\d{2}) (\d{4})$/;

/** An HTTP-date in any of its three forms, in ms since the epoch; `undefined` if it is none. */
export function parseHttpDate(text: string): number | undefined {
  if (text.length > 40) return undefined;
  let parts: readonly (string | undefined)[] | undefined;
  let match = imfDate.exec(text) ?? rfc850Date.exec(text);
  if (match !== null) parts = match.slice(1);
  match = asctimeDate.exec(text);
  if (match !== null) parts = [match[2], match[1], match[6], match[3], match[4], match[5]];
  if (parts === undefined) return undefined;
  const [day, month, year, hour, minute, second] = parts;
  const monthIndex = months.indexOf(month ?? "");
  let fullYear = Number(year);
  // RFC 9110 §5.6.7: a two-digit year that seems over 50 years ahead is in the past.
  if (year?.length === 2) {
    const century = new Date().getUTCFullYear() - (new Date().getUTCFullYear() % 100);
    fullYear += century;
    if (fullYear > new Date().getUTCFullYear() + 50) fullYear -= 100;
  }
  const date = new Date(0);
  date.setUTCFullYear(fullYear, monthIndex, Number(day));
  date.setUTCHours(Number(hour), Number(minute), Number(second));
  const valid =
    monthIndex >= 0 &&
    date.getUTCMonth() === monthIndex &&
    date.getUTCDate() === Number(day) &&
    Number(hour) < 24 &&
    Number(minute) < 60 &&
    Number(second) <= 60;
  return valid ? date.getTime() : undefined;
}

/** Whole seconds, as `Last-Modified` says it. */
const seconds = (date: Date): number => Math.floor(date.getTime() / 1000) * 1000;

/**
 * Judges a request in the order of RFC 9110 §13.2.2. `current` is absent where there is no
 * representation yet. `reading` means GET or HEAD.
 */
export function evaluateConditions(
  headers: ConditionHeaders,
  current: Validators | undefined,
  { reading }: { readonly reading: boolean },
): Verdict {
  const ifMatch = parseEntityTags(headerText(headers, "if-match"));
  if (ifMatch !== undefined) {
    if (!entityTagMatches(ifMatch, current?.etag, "strong")) return "precondition-failed";
  } else {
    const since = parseHttpDate(headerText(headers, "if-unmodified-since") ?? "");
    if (since !== undefined && current !== undefined && seconds(current.modifiedAt) > since) {
      return "precondition-failed";
    }
  }
  const ifNoneMatch = parseEntityTags(headerText(headers, "if-none-match"));
  if (ifNoneMatch !== undefined) {
    if (entityTagMatches(ifNoneMatch, current?.etag, "weak")) {
      return reading ? "not-modified" : "precondition-failed";
    }
  } else if (reading && current !== undefined) {
    const since = parseHttpDate(headerText(headers, "if-modified-since") ?? "");
    if (since !== undefined && seconds(current.modifiedAt) <= since) return "not-modified";
  }
  return "proceed";
}

/** Conditions of a write, for whoever judges them inside the transaction that writes. */
export interface WritePreconditions {
  readonly ifAbsent?: true;
  /** Strong tags without quotes; an empty list can never hold. */
  readonly ifMatch?: "*" | readonly string[];
  /** Tags that the object must not have. */
  readonly ifNoneMatch?: readonly string[];
  /** In ms since the epoch. */
  readonly ifUnmodifiedSinceMs?: number;
}

/** The same headers as data. */
export function writePreconditions(headers: ConditionHeaders): WritePreconditions {
  const ifMatch = parseEntityTags(headerText(headers, "if-match"));
  const ifNoneMatch = parseEntityTags(headerText(headers, "if-none-match"));
  const since = parseHttpDate(headerText(headers, "if-unmodified-since") ?? "");
  return {
    ...(ifNoneMatch === "*" ? { ifAbsent: true } : {}),
    ...(ifMatch === undefined
      ? {}
      : {
          ifMatch: ifMatch === "*" ? "*" : ifMatch.filter((tag) => !tag.weak).map((t) => t.value),
        }),
    ...(ifNoneMatch === undefined || ifNoneMatch === "*"
      ? {}
      : { ifNoneMatch: ifNoneMatch.map((tag) => tag.value) }),
    ...(ifMatch === undefined && since !== undefined ? { ifUnmodifiedSinceMs: since } : {}),
  };
}

/**
 * RFC 9110 §13.1.5: whether `Range` counts. A weak tag or a date that is not exactly ours asks for
 * the whole; so does anything malformed.
 */
export function rangeApplies(headers: ConditionHeaders, current: Validators): boolean {
  const ifRange = headerText(headers, "if-range")?.trim();
  if (ifRange === undefined) return true;
  if (ifRange.startsWith('"') || ifRange.startsWith("W/")) {
    const tags = parseEntityTags(ifRange);
    if (tags === undefined || tags === "*" || tags.length !== 1) return false;
    return entityTagMatches(tags, current.etag, "strong");
  }
  return parseHttpDate(ifRange) === seconds(current.modifiedAt);
}
