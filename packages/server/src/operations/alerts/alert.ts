/** One alert as the workers tell each other of it and as it is sent. */
import type { AlertFields } from "../../core/ports/alerts.ts";
import type { Json } from "../../core/ports/siblings.ts";
import { definitionOf, type Severity } from "./definitions.ts";

export interface Alert {
  readonly name: string;
  readonly severity: Severity;
  readonly summary: string;
  /** What tells it from others of the name. */
  readonly labels: AlertFields;
  /** The rest of what was said. */
  readonly fields: AlertFields;
  readonly message: string;
  /** When it began. */
  readonly since: string;
}

const textMax = 500;

/** Fields that could carry one are left out, whoever raised it. */
const secretLike = /secret|password|passwd|token|authorization|credential|signature|cookie/i;

export function makeAlert(name: string, given: AlertFields, message: string, now: Date): Alert {
  const { severity, summary, labels = [] } = definitionOf(name);
  const entries = Object.entries(given)
    .filter(([field]) => !secretLike.test(field))
    .map(([field, value]) => [field, typeof value === "string" ? harmless(value) : value] as const);
  const isLabel = ([field]: readonly [string, unknown]): boolean => labels.includes(field);
  return {
    name,
    severity,
    summary,
    labels: Object.fromEntries(entries.filter(isLabel)),
    fields: Object.fromEntries(entries.filter((entry) => !isLabel(entry))),
    message: harmless(message),
    since: now.toISOString(),
  };
}

/** The same for all workers and at each time. */
export function alertKey(name: string, labels: AlertFields): string {
  const sorted = Object.entries(labels).sort(([one], [other]) => (one < other ? -1 : 1));
  return JSON.stringify([name, sorted.map(([field, value]) => [field, String(value)])]);
}

/** Without the user of an address and without its query, where signatures and tokens are; on one line. */
function harmless(text: string): string {
  return (
    text
      .replaceAll(/(\w+:\/\/)[^/\s@]*@/g, "$1")
      .replaceAll(/(\w+:\/\/[^\s?]*)\?\S*/g, "$1")
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not get into a mail's header
      .replaceAll(/[\u0000-\u001f\u007f]+/g, " ")
      .slice(0, textMax)
  );
}

/** What another worker said; anything else is left out. */
export function alertsOf(value: Json): readonly Alert[] {
  return Array.isArray(value) ? value.filter(isAlert) : [];
}

function isAlert(value: unknown): value is Alert {
  if (typeof value !== "object" || value === null) return false;
  const isText = (field: string): boolean => typeof Reflect.get(value, field) === "string";
  const isObject = (field: string): boolean => typeof Reflect.get(value, field) === "object";
  return ["name", "message", "since"].every(isText) && ["labels", "fields"].every(isObject);
}
