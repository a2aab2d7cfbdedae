/**
 * Reads the configuration once, at start: defaults, then a JSON file, then the environment, then
 * flags; the later wins. This is the only file that reads `process.env`. Either the result is whole,
 * valid and frozen, or a `ConfigError` names every problem at once.
 */
import { readFileSync } from "node:fs";
import type { z } from "zod";
import { nearest } from "./nearest.ts";
import { keysAt, listOptions, type Option } from "./options.ts";

export interface ConfigProblem {
  /** The option as the reader wrote it: `http.bodyRateMin`, `ROMA_PORT`, `--port`. */
  readonly path: string;
  readonly message: string;
}

/** Every problem of a configuration, one a line. Values of secrets are never in it. */
export class ConfigError extends Error {
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    const lines = problems.map(({ path, message }) => `  ${path}: ${message}`);
    super(`the configuration has ${problems.length} problem(s):\n${lines.join("\n")}`);
    this.name = "ConfigError";
    this.problems = problems;
  }
}

export interface LoadOptions {
  /** Flags, without the program and the command. */
  readonly argv?: readonly string[];
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Before the names of environment variables. */
  readonly prefix?: string;
  /** Variables with the prefix that are somebody else's. */
  readonly variablesIgnored?: readonly string[];
}

interface Sources {
  readonly options: readonly Option[];
  readonly problems: ConfigProblem[];
  readonly prefix: string;
}

type Tree = { [key: string]: unknown };

const isTree = (value: unknown): value is Tree =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function place(tree: Tree, path: readonly string[], value: unknown): void {
  const [key = "", ...rest] = path;
  if (rest.length === 0) {
    tree[key] = value;
    return;
  }
  const child = tree[key];
  const next: Tree = isTree(child) ? child : {};
  tree[key] = next;
  place(next, rest, value);
}

function merge(low: Tree, high: Tree): Tree {
  const merged: Tree = { ...low };
  for (const [key, value] of Object.entries(high)) {
    const below = merged[key];
    merged[key] = isTree(below) && isTree(value) ? merge(below, value) : value;
  }
  return merged;
}

function fromText(option: Option, text: string): unknown {
  if (option.form === "number") {
    const number = text.trim() === "" ? Number.NaN : Number(text);
    return Number.isNaN(number) ? text : number;
  }
  if (option.form === "boolean") return text === "true" ? true : text === "false" ? false : text;
  if (option.form === "text") return text;
  try {
    return JSON.parse(text);
  } catch {
    // A list may be written without JSON: "a,b".
    return option.kind.includes("list") ? text.split(",").map((item) => item.trim()) : text;
  }
}

const meant = (name: string, known: Iterable<string>): string => {
  const near = nearest(name, known);
  return near === undefined ? "" : `; did you mean ${near}?`;
};

function readFile(path: string, sources: Sources): Tree {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const reason = error instanceof Error && "code" in error ? String(error.code) : "unreadable";
    sources.problems.push({ path, message: `the config file cannot be read (${reason})` });
    return {};
  }
  try {
    // "__proto__" stays an ordinary unknown key with JSON.parse, and is reported as such.
    const parsed: unknown = JSON.parse(text);
    if (isTree(parsed)) return parsed;
    sources.problems.push({ path, message: "the config file is not a JSON object" });
  } catch {
    sources.problems.push({ path, message: "the config file is not JSON" });
  }
  return {};
}

function readEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  ignored: ReadonlySet<string>,
  sources: Sources,
): Tree {
  const tree: Tree = {};
  const byVariable = new Map(sources.options.map((option) => [option.variable, option]));
  const known = [...byVariable.keys(), `${sources.prefix}_CONFIG`];
  for (const [name, value] of Object.entries(env)) {
    if (value === undefined || !name.startsWith(`${sources.prefix}_`) || ignored.has(name))
      continue;
    if (name === `${sources.prefix}_CONFIG`) continue;
    const option = byVariable.get(name);
    if (option === undefined) {
      sources.problems.push({ path: name, message: `no such option${meant(name, known)}` });
    } else {
      place(tree, option.path, fromText(option, value));
    }
  }
  return tree;
}

function readFlags(argv: readonly string[], sources: Sources): { tree: Tree; file?: string } {
  const tree: Tree = {};
  let file: string | undefined;
  const byFlag = new Map(sources.options.map((option) => [option.flag, option]));
  for (let index = 0; index < argv.length; index++) {
    const word = argv[index] ?? "";
    if (!word.startsWith("--")) {
      sources.problems.push({ path: word, message: "unexpected argument" });
      continue;
    }
    const equals = word.indexOf("=");
    const flag = equals < 0 ? word : word.slice(0, equals);
    let value = equals < 0 ? undefined : word.slice(equals + 1);
    const denied = flag.startsWith("--no-") ? byFlag.get(`--${flag.slice(5)}`) : undefined;
    const option = byFlag.get(flag);
    if (denied?.form === "boolean" && option === undefined) {
      place(tree, denied.path, false);
      continue;
    }
    if (option === undefined && flag !== "--config") {
      const hint = meant(flag, [...byFlag.keys(), "--config"]);
      sources.problems.push({ path: flag, message: `no such option${hint}` });
      // The word after an unknown flag is most likely its value.
      if (value === undefined && argv[index + 1]?.startsWith("--") === false) index++;
      continue;
    }
    const following = argv[index + 1];
    if (value === undefined && option?.form === "boolean") {
      const explicit = following === "true" || following === "false";
      if (explicit) index++;
      value = explicit ? following : "true";
    } else if (value === undefined && following !== undefined && !following.startsWith("--")) {
      value = following;
      index++;
    }
    if (value === undefined) {
      sources.problems.push({ path: flag, message: "needs a value" });
    } else if (option === undefined) {
      file = value;
    } else {
      place(tree, option.path, fromText(option, value));
    }
  }
  return file === undefined ? { tree } : { tree, file };
}

function report(schema: z.core.$ZodType, issues: readonly z.core.$ZodIssue[]): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  for (const issue of issues) {
    const path = issue.path.map(String).join(".");
    if (issue.code !== "unrecognized_keys") {
      problems.push({ path: path === "" ? "config" : path, message: issue.message });
      continue;
    }
    for (const key of issue.keys) {
      const hint = meant(key, keysAt(schema, issue.path));
      problems.push({
        path: path === "" ? key : `${path}.${key}`,
        message: `no such option${hint}`,
      });
    }
  }
  return problems;
}

function freeze(value: unknown): void {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return;
  const plain = Object.getPrototypeOf(value) === Object.prototype || Array.isArray(value);
  if (!plain) return;
  Object.freeze(value);
  for (const child of Object.values(value)) freeze(child);
}

/** For what the runtime itself reads from there, later; what is set stays. */
export function presetVariable(name: string, value: string): void {
  process.env[name] ??= value;
}

/** As it is now, for what has rules of its own about it: where cloud keys come from. */
export function processEnvironment(): Readonly<Record<string, string | undefined>> {
  return { ...process.env };
}

/** The configuration, whole and frozen; throws a `ConfigError` with all problems. */
export function loadConfig<Schema extends z.ZodType>(
  schema: Schema,
  { argv = [], env = process.env, prefix = "ROMA", variablesIgnored = [] }: LoadOptions = {},
): z.output<Schema> {
  const sources: Sources = { options: listOptions(schema, prefix), problems: [], prefix };
  const flags = readFlags(argv, sources);
  const file = flags.file ?? env[`${prefix}_CONFIG`];
  const fromFile = file === undefined || file === "" ? {} : readFile(file, sources);
  const fromEnvironment = readEnvironment(env, new Set(variablesIgnored), sources);
  const input = merge(merge(fromFile, fromEnvironment), flags.tree);
  const result = schema.safeParse(input);
  if (!result.success) sources.problems.push(...report(schema, result.error.issues));
  if (sources.problems.length > 0 || !result.success) throw new ConfigError(sources.problems);
  freeze(result.data);
  return result.data;
}
