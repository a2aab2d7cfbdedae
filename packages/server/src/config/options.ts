/**
 * Walks a zod object schema and lists its options: where each sits, what it is called in a file, in
 * the environment and as a flag, its default and its help. Loading and the reference share the list.
 */
import { z } from "zod";
import { formatBytes, formatDuration } from "./units.ts";

/** How a value given as text (environment, flag) becomes the schema's input. */
export type TextForm = "number" | "boolean" | "text" | "json";

export interface Option {
  readonly path: readonly string[];
  /** In a config file: `http.keepAliveTimeout`. */
  readonly name: string;
  /** `ROMA_HTTP_KEEP_ALIVE_TIMEOUT`. */
  readonly variable: string;
  /** `--http-keep-alive-timeout`. */
  readonly flag: string;
  readonly form: TextForm;
  /** What may be written: `size`, `time`, `number`, `a | b`. */
  readonly kind: string;
  /** As it is printed; `undefined` if there is none. */
  readonly default: string | undefined;
  readonly required: boolean;
  readonly description: string;
}

interface Unwrapped {
  readonly inner: z.core.$ZodType;
  readonly unit: unknown;
  readonly description: string;
  readonly default: unknown;
  readonly hasDefault: boolean;
  readonly required: boolean;
}

/** Takes off defaults, optionals and pipes, and keeps what they said. */
function unwrap(schema: z.core.$ZodType): Unwrapped {
  let inner = schema;
  let unit: unknown;
  let description = "";
  let value: unknown;
  let hasDefault = false;
  let required = true;
  for (;;) {
    const meta = z.globalRegistry.get(inner);
    unit ??= meta?.unit;
    if (description === "") description = meta?.description ?? "";
    const { def } = inner._zod;
    if (def.type === "default" || def.type === "prefault") {
      const wrapper = def as z.core.$ZodDefaultDef;
      if (!hasDefault) value = wrapper.defaultValue;
      hasDefault = true;
      required = false;
      inner = wrapper.innerType;
    } else if (def.type === "optional" || def.type === "nullable") {
      required &&= def.type !== "optional";
      inner = (def as z.core.$ZodOptionalDef).innerType;
    } else if (def.type === "readonly" || def.type === "nonoptional" || def.type === "catch") {
      inner = (def as z.core.$ZodReadonlyDef).innerType;
    } else if (def.type === "pipe") {
      inner = (def as z.core.$ZodPipeDef).in;
    } else {
      return { inner, unit, description, default: value, hasDefault, required };
    }
  }
}

function formOf(inner: z.core.$ZodType, unit: unknown): TextForm {
  if (unit !== undefined) return "text";
  switch (inner._zod.def.type) {
    case "number":
      return "number";
    case "boolean":
      return "boolean";
    case "string":
    case "enum":
    case "literal":
      return "text";
    default:
      return "json";
  }
}

function kindOf(inner: z.core.$ZodType, unit: unknown): string {
  if (unit === "bytes") return "size";
  if (unit === "duration") return "time";
  if (unit === "secret") return "secret";
  const { def } = inner._zod;
  if (def.type === "enum") return Object.values((def as z.core.$ZodEnumDef).entries).join(" | ");
  if (def.type === "literal") return (def as z.core.$ZodLiteralDef<string>).values.join(" | ");
  if (def.type === "array") return "list";
  if (def.type === "record") return "object";
  if (def.type === "union") {
    const kinds = (def as z.core.$ZodUnionDef).options.map((option) => {
      const { inner: member, unit: memberUnit } = unwrap(option);
      return kindOf(member, memberUnit);
    });
    return [...new Set(kinds)].join(" | ");
  }
  return def.type;
}

function printDefault(value: unknown, unit: unknown): string {
  if (typeof value === "number" && unit === "bytes") return formatBytes(value);
  if (typeof value === "number" && unit === "duration") return formatDuration(value);
  if (unit === "secret") return "[redacted]";
  return typeof value === "string" ? value : JSON.stringify(value);
}

const words = (name: string): string => name.replace(/([a-z0-9])([A-Z])/g, "$1-$2").toLowerCase();

/** All options of the schema, in the order they were written. Nested objects are walked into. */
export function listOptions(schema: z.core.$ZodType, prefix = "ROMA"): readonly Option[] {
  const options: Option[] = [];
  const walk = (current: z.core.$ZodType, path: readonly string[]): void => {
    const found = unwrap(current);
    const { def } = found.inner._zod;
    if (def.type === "object") {
      const { shape } = def as z.core.$ZodObjectDef;
      for (const [key, child] of Object.entries(shape)) walk(child, [...path, key]);
      return;
    }
    const kebab = path.map(words).join("-");
    options.push({
      path,
      name: path.join("."),
      variable: `${prefix}_${kebab.replaceAll("-", "_").toUpperCase()}`,
      flag: `--${kebab}`,
      form: formOf(found.inner, found.unit),
      kind: kindOf(found.inner, found.unit),
      default: found.hasDefault ? printDefault(found.default, found.unit) : undefined,
      required: found.required,
      description: found.description,
    });
  };
  walk(schema, []);
  return options;
}

/** The keys that an object at `path` may have; empty if there is no object. */
export function keysAt(schema: z.core.$ZodType, path: readonly PropertyKey[]): readonly string[] {
  let { inner } = unwrap(schema);
  for (const step of path) {
    if (inner._zod.def.type !== "object" || typeof step !== "string") return [];
    const child = (inner._zod.def as z.core.$ZodObjectDef).shape[step];
    if (child === undefined) return [];
    inner = unwrap(child).inner;
  }
  if (inner._zod.def.type !== "object") return [];
  return Object.keys((inner._zod.def as z.core.$ZodObjectDef).shape);
}
