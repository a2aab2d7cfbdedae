/** Fields of the server's answers, read one by one: what is not as it should be is `bad_answer`. */
import { RomaError } from "./errors.ts";

/** Reads one JSON value of an answer. */
export type Parser<T> = (value: unknown) => T;

export function bad(what: string): RomaError {
  return new RomaError("bad_answer", `the server's answer has no usable ${what}`);
}

/** A JSON object that is not looked at yet. */
export type Fields = Readonly<Record<string, unknown>>;

export function fieldsOf(value: unknown, what: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw bad(what);
  return { ...value };
}

export function string(fields: Fields, name: string): string {
  const value = fields[name];
  if (typeof value !== "string") throw bad(name);
  return value;
}

export function number(fields: Fields, name: string): number {
  const value = fields[name];
  if (typeof value !== "number" || !Number.isFinite(value)) throw bad(name);
  return value;
}

export function boolean(fields: Fields, name: string): boolean {
  const value = fields[name];
  if (typeof value !== "boolean") throw bad(name);
  return value;
}

export function nullable<T>(
  fields: Fields,
  name: string,
  read: (fields: Fields, name: string) => T,
) {
  return fields[name] === null || fields[name] === undefined ? null : read(fields, name);
}

export function optional<K extends string, T>(
  fields: Fields,
  name: K,
  read: (fields: Fields, name: string) => T,
): { readonly [P in K]?: T } {
  if (fields[name] === undefined || fields[name] === null) return {};
  const result: { [P in K]?: T } = {};
  result[name] = read(fields, name);
  return result;
}

export function list<T>(fields: Fields, name: string, read: (value: unknown) => T): readonly T[] {
  const value = fields[name];
  if (!Array.isArray(value)) throw bad(name);
  return value.map(read);
}

export function text(value: unknown): string {
  if (typeof value !== "string") throw bad("text");
  return value;
}

export function strings(fields: Fields, name: string): readonly string[] {
  return list(fields, name, text);
}

export function oneOf<const T extends string>(
  fields: Fields,
  name: string,
  known: readonly T[],
): T {
  const found = known.find((candidate) => candidate === fields[name]);
  if (found === undefined) throw bad(name);
  return found;
}
