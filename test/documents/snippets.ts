/** The code blocks of a document, as a reader copies them. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "../..");

export interface Snippet {
  /** What stands behind the fence: `js`, `sh`. */
  readonly language: string;
  readonly text: string;
}

/** In the order of the document, which is relative to the repository. */
export async function readSnippets(path: string): Promise<readonly Snippet[]> {
  const document = await readFile(join(root, path), "utf8");
  return [...document.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(([, language = "", text = ""]) => ({
    language,
    text,
  }));
}

/** The only one that holds all these texts. */
export function findSnippet(snippets: readonly Snippet[], ...texts: readonly string[]): string {
  const found = snippets.filter(({ text }) => texts.every((one) => text.includes(one)));
  assert.equal(found.length, 1, `${found.length} snippets have ${texts.join(" and ")}`);
  return found[0]?.text ?? "";
}

/** Puts what is a reader's own in the place of what stands for it; each must be there. */
export function fillIn(text: string, values: Readonly<Record<string, string>>): string {
  let filled = text;
  for (const [blank, value] of Object.entries(values)) {
    assert.ok(filled.includes(blank), `${blank} is to be filled in`);
    filled = filled.replaceAll(blank, value);
  }
  return filled;
}
