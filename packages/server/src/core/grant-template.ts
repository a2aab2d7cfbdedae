/**
 * Templates of keys in grants: `photos/{date}/{uuid}{ext}`. The server makes the key of one, or judges whether a
 * key that a client names is one that it could have made.
 *
 *   {date}                    the day of the upload in UTC, `2026-01-31`
 *   {year} {month} {day}      its parts: `2026`, `01`, `31`
 *   {uuid}                    a random UUID: nothing that is there already is ever replaced (`isCreateOnly`)
 *   {ext}                     the ending of the client's file name with its dot, `.jpg`; empty without one
 *   {filename}                the client's file name, made safe (`keyName`)
 */
import { randomUUID } from "node:crypto";
import { type ObjectKey, parseKey } from "./object-key.ts";

export interface TemplateValues {
  /** As the client told it. */
  readonly filename?: string | undefined;
  readonly now: Date;
}

interface Placeholder {
  /** Of every text that it stands for. */
  readonly pattern: string;
  readonly value: (values: { readonly day: string; readonly filename: string }) => string;
}

const placeholders: Readonly<Record<string, Placeholder>> = {
  date: { pattern: "\\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\\d|3[01])", value: ({ day }) => day },
  year: { pattern: "\\d{4}", value: ({ day }) => day.slice(0, 4) },
  month: { pattern: "(?:0[1-9]|1[0-2])", value: ({ day }) => day.slice(5, 7) },
  day: { pattern: "(?:0[1-9]|[12]\\d|3[01])", value: ({ day }) => day.slice(8, 10) },
  uuid: { pattern: "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", value: () => randomUUID() },
  ext: { pattern: "(?:\\.[a-z0-9]{1,16})?", value: ({ filename }) => extensionOf(filename) },
  filename: {
    pattern: "[\\p{L}\\p{M}\\p{N} ._~()+@-]{1,255}",
    value: ({ filename }) => keyName(filename),
  },
};

const charactersMax = 512;
const placeholdersMax = 16;

/** Each with the literal text before it; the last item is text alone. */
const parts = /([^{}]*)(?:\{([^{}]*)\}|$)/gy;

/** What is wrong with it, as a phrase; `undefined`: nothing. With a prefix it must lie within that. */
export function templateProblem(template: string, prefix = ""): string | undefined {
  if (template.length > charactersMax) return `is longer than ${charactersMax} characters`;
  const names = [...template.matchAll(/\{([^{}]*)\}/g)].map(([, name = ""]) => name);
  const unknown = names.find((name) => !Object.hasOwn(placeholders, name));
  if (unknown !== undefined) return `has the unknown placeholder {${unknown}}`;
  if (/[{}]/.test(template.replaceAll(/\{[^{}]*\}/g, ""))) return "has a brace without its other";
  if (names.length > placeholdersMax) return `has more than ${placeholdersMax} placeholders`;
  // Two would make it ambiguous, and slow to judge, where one ends.
  const twice = ["filename", "ext"].find((name) => names.indexOf(name) !== names.lastIndexOf(name));
  if (twice !== undefined) return `has {${twice}} twice`;
  if (!templateHead(template).startsWith(prefix)) return "does not lie within prefix";
  try {
    keyOfTemplate(template, { filename: "a.b", now: new Date(0) });
  } catch (error) {
    return error instanceof Error ? `makes no key: ${error.message}` : "makes no key";
  }
  return undefined;
}

/** What every key of the template begins with. */
export function templateHead(template: string): string {
  return template.split("{", 1)[0] ?? "";
}

/** A write under it never replaces an object: its keys are new, and nobody may claim another's. */
export function isCreateOnly(template: string): boolean {
  return template.includes("{uuid}");
}

/** `invalid_key` if the file's name makes it too long. */
export function keyOfTemplate(template: string, { filename = "", now }: TemplateValues): ObjectKey {
  const values = { day: now.toISOString().slice(0, 10), filename };
  return parseKey(
    template.replaceAll(/\{([^{}]*)\}/g, (_, name: string) => {
      return placeholders[name]?.value(values) ?? "";
    }),
  );
}

export function fitsTemplate(template: string, key: string): boolean {
  const source = [...template.matchAll(parts)]
    .map(([, literal = "", name]) => {
      const pattern = name === undefined ? "" : (placeholders[name]?.pattern ?? "");
      return literal.replaceAll(/[.*+?^$()|[\]\\/]/g, "\\$&") + pattern;
    })
    .join("");
  return new RegExp(`^${source}$`, "u").test(key);
}

function extensionOf(filename: string): string {
  return /[^/\\.]\.([a-z0-9]{1,16})$/i.exec(filename)?.[0].slice(1).toLowerCase() ?? "";
}

/** UTF-8 bytes. */
const nameBytesMax = 200;

/**
 * A file's name as the end of a key: its last segment, in composed form, of letters and digits of any script and
 * ` ._~()+@-`; what else is there becomes `_`. Cut at 200 bytes, before its ending. Never empty.
 */
export function keyName(filename: string): string {
  const last = filename.toWellFormed().slice(-4096).split(/[/\\]/).at(-1) ?? "";
  const safe = last
    .normalize("NFC")
    .replaceAll(/\p{C}/gu, "")
    .replaceAll(/[^\p{L}\p{M}\p{N} ._~()+@-]/gu, "_")
    .trim();
  if (safe === "" || safe === "." || safe === "..") return "file";
  const ending = extensionOf(safe);
  const stem = safe.slice(0, safe.length - ending.length);
  return cut(stem, nameBytesMax - ending.length) + safe.slice(safe.length - ending.length);
}

/** Never half a character. */
function cut(text: string, bytesMax: number): string {
  let bytes = 0;
  let kept = "";
  for (const character of text) {
    bytes += Buffer.byteLength(character);
    if (bytes > bytesMax) break;
    kept += character;
  }
  return kept;
}
