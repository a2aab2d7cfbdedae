/** Readers of option values, shared by the commands; each refuses with a `UsageError`. */
import { parseMoment } from "./moment.ts";
import { UsageError } from "./usage-error.ts";

/** `--meta NAME=VALUE`, repeated. */
export function collectMetadata(
  text: string,
  known: Readonly<Record<string, string>> | undefined,
): Readonly<Record<string, string>> {
  const equals = text.indexOf("=");
  if (equals < 1) throw new UsageError(`--meta ${text}: write NAME=VALUE`);
  const name = text.slice(0, equals).toLowerCase();
  if (!/^[a-z0-9!#$&'*+.^_`|~-]+$/.test(name)) {
    throw new UsageError(`--meta ${text}: a name is made of letters, digits, - and _`);
  }
  return { ...known, [name]: text.slice(equals + 1) };
}

/** A repeated option. */
export function collect(text: string, known: readonly string[] | undefined): readonly string[] {
  return [...(known ?? []), text];
}

/** A whole number from `min` to `max`. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max) {
      throw new UsageError(`${text} is not a whole number from ${min} to ${max}`);
    }
    return value;
  };
}

/** A moment; given again, the last counts. */
export function moment(text: string): Date {
  return parseMoment(text);
}
