/**
 * What our option schemas add to zod: sizes, times and secrets. Bounds are checked on the parsed
 * number; the unit is kept as metadata for the generated reference.
 */
import { z } from "zod";
import { Secret } from "./secret.ts";
import { formatBytes, formatDuration, parseBytes, parseDuration } from "./units.ts";

type Amount = number | string;

/** Metadata of a schema that tells the reference how to print its values. */
export type Unit = "bytes" | "duration" | "secret";

export interface AmountBounds {
  readonly min?: Amount;
  readonly max?: Amount;
}

type AmountType = z.ZodType<number, Amount>;

/** A zod schema whose default may carry its unit: `bytes().default("8 MiB")`. */
export type AmountSchema = Omit<AmountType, "default" | "describe"> & {
  default(value: Amount): z.ZodDefault<AmountType>;
  describe(text: string): AmountSchema;
};

interface AmountKind {
  readonly unit: Unit;
  readonly noun: string;
  readonly example: string;
  readonly parse: (text: Amount) => number | undefined;
  readonly format: (amount: number) => string;
}

function amount(kind: AmountKind, bounds: AmountBounds): AmountSchema {
  const required = (value: Amount): number => {
    const parsed = kind.parse(value);
    if (parsed === undefined) throw new TypeError(`${value} is not a ${kind.noun}`);
    return parsed;
  };
  const min = bounds.min === undefined ? 0 : required(bounds.min);
  const max = bounds.max === undefined ? Number.MAX_SAFE_INTEGER : required(bounds.max);
  const schema = z
    .union([z.number(), z.string()], { error: `must be a ${kind.noun} like "${kind.example}"` })
    .transform((value, context) => {
      const parsed = kind.parse(value);
      if (parsed === undefined) {
        const shown = JSON.stringify(value).slice(0, 40);
        context.addIssue(`${shown} is not a ${kind.noun} like "${kind.example}"`);
        return z.NEVER;
      }
      if (parsed < min) context.addIssue(`must be at least ${kind.format(min)}`);
      if (parsed > max) context.addIssue(`must be at most ${kind.format(max)}`);
      return parsed;
    })
    .meta({ unit: kind.unit });
  return withUnits(schema, required);
}

/** zod's default() takes an output and does not parse it; ours reads the unit at once. */
function withUnits(schema: AmountType, read: (value: Amount) => number): AmountSchema {
  const describe = schema.describe.bind(schema);
  return Object.assign(schema, {
    default: (value: Amount) => z._default(schema, read(value)),
    // A described schema is a clone, which would have zod's own default() again.
    describe: (text: string) => withUnits(describe(text), read),
  }) as AmountSchema;
}

/** A size: `"64 MiB"`, `"10 GB"`, or a plain number of bytes. Parsed to bytes. */
export function bytes(bounds: AmountBounds = {}): AmountSchema {
  const kind = { unit: "bytes", noun: "size", example: "64 MiB" } as const;
  return amount({ ...kind, parse: parseBytes, format: formatBytes }, bounds);
}

/** A time: `"30 s"`, `"15 min"`, `"7 days"`, or a plain number of ms. Parsed to milliseconds. */
export function duration(bounds: AmountBounds = {}): AmountSchema {
  const kind = { unit: "duration", noun: "time", example: "30 s" } as const;
  return amount({ ...kind, parse: parseDuration, format: formatDuration }, bounds);
}

/** A string that prints redacted; `reveal()` gives it out. */
export function secret() {
  return z
    .string({ error: "must be a string" })
    .min(1, { error: "must not be empty" })
    .transform((value) => new Secret(value))
    .meta({ unit: "secret" satisfies Unit });
}
