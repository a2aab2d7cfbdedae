// Proves that the direction of imports (STYLE.md §3) is kept by a tool: violations of every row are
// planted in a copy of Biome's configuration, and Biome must report each of them and nothing else.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, matchesGlob, resolve } from "node:path";
import { type TestContext, test } from "node:test";
import { rows, server } from "./import-table.ts";

const root = resolve(import.meta.dirname, "..");
const biome = createRequire(import.meta.url).resolve("@biomejs/biome/bin/biome");

/** Every way to import: a rule that saw only values would let types through. */
const forms: readonly ((specifier: string, name: string) => string)[] = [
  (specifier, name) => `import { ${name} } from "${specifier}";`,
  (specifier, name) => `import type { ${name.toUpperCase()} } from "${specifier}";`,
  (specifier, name) => `export type { ${name.toUpperCase()} as ${name}T } from "${specifier}";`,
  (specifier, name) => `export const ${name} = import("${specifier}");`,
];

test("biome reports every import that the table forbids, of types too, and none that it allows", (t) => {
  const folder = plantedTree(t);
  const wanted = new Set<string>();
  const sourceOf = new Map<string, string>();
  for (const row of rows) {
    const lines: string[] = [];
    for (const [index, specifier] of [...row.forbidden, ...row.allowed].entries()) {
      for (const [formIndex, form] of forms.entries()) {
        lines.push(form(specifier, `name${index}x${formIndex}`));
        const place = `${row.from}:${lines.length}`;
        sourceOf.set(place, specifier);
        if (row.forbidden.includes(specifier)) wanted.add(place);
      }
    }
    plant(folder, row.from, lines);
  }
  const found = new Set(lint(folder, "style/noRestrictedImports"));
  const named = (places: Iterable<string>) =>
    [...places].map((place) => `${place} ${sourceOf.get(place) ?? ""}`);
  assert.ok(wanted.size > 0);
  assert.deepEqual(
    named([...wanted].filter((place) => !found.has(place))),
    [],
    "forbidden, but not reported",
  );
  assert.deepEqual(
    named([...found].filter((place) => !wanted.has(place))),
    [],
    "allowed, but reported",
  );
});

test("storage and metadata take types from all of core, but values only from three places", (t) => {
  const folder = plantedTree(t);
  for (const area of ["storage", "metadata"]) {
    plant(folder, `${server}/${area}/index.ts`, [
      'import type { Upload } from "../core/upload.ts";',
      'import { applyEvent } from "../core/upload.ts";',
    ]);
    plant(folder, `${server}/${area}/one/driver.ts`, [
      'import type { Upload } from "../../core/upload.ts";',
      'import { operationalError } from "../../core/errors.ts";',
      'import { type Upload as U, applyEvent } from "../../core/upload.ts";',
    ]);
    plant(folder, `${server}/${area}/one/sub/a.ts`, [
      'import type { Upload } from "../../../core/upload.ts";',
      'import { applyEvent } from "../../../core/upload.ts";',
    ]);
  }
  const lines = (area: string) => [
    `${server}/${area}/index.ts:2`,
    `${server}/${area}/one/driver.ts:3`,
    `${server}/${area}/one/sub/a.ts:2`,
  ];
  const found = lint(folder, "style/noRestrictedImports").sort();
  assert.deepEqual(found, [...lines("metadata"), ...lines("storage")]);
});

test("biome reports import cycles, of types alone too", (t) => {
  const folder = plantedTree(t);
  const core = `${server}/core`;
  const cycles: Readonly<Record<string, readonly string[]>> = {
    "a.ts": ['import { b } from "./b.ts";', "export const a = b;"],
    "b.ts": ['import { a } from "./a.ts";', "export const b = a;"],
    "c.ts": ['import type { D } from "./d.ts";', "export type C = { d: D };"],
    "d.ts": ['import type { C } from "./c.ts";', "export type D = { c: C };"],
    "e.ts": ['import type { F } from "./f.ts";', "export type E = { f: F };"],
    "f.ts": ['export type { G as F } from "./g.ts";'],
    "g.ts": [
      'import { type E, e } from "./e.ts";',
      "export type G = { e: E };",
      "export const g = e;",
    ],
    "free.ts": ['import type { C } from "./c.ts";', "export type Free = { c: C };"],
  };
  for (const [name, lines] of Object.entries(cycles)) plant(folder, `${core}/${name}`, lines);
  const found = lint(folder, "suspicious/noImportCycles").sort();
  assert.deepEqual(
    found,
    ["a", "b", "c", "d", "e", "f", "g"].map((name) => `${core}/${name}.ts:1`),
  );
});

test("every row of the table has a violation planted for it", () => {
  const table = includesOfTable();
  const last = (file: string) =>
    table.findLastIndex((includes) => includes.some((glob) => matchesGlob(file, glob)));
  const proven = new Set(rows.map((row) => last(row.from)));
  const unproven = table.filter((_includes, index) => !proven.has(index));
  assert.deepEqual(unproven, []);
});

test("every source file falls under a row of the table, and imports in forms that biome sees", () => {
  const table = includesOfTable().flat();
  const files = globSync("packages/*/src/**/*.ts", { cwd: root });
  assert.ok(files.length > 100);
  const outside = files.filter((file) => !table.some((glob) => matchesGlob(file, glob)));
  assert.deepEqual(outside, [], "a new folder needs a row in biome.imports.jsonc");
  // Biome reads neither `import("x").Type` nor a path that leaves a folder it has just named.
  const unseen = files.filter((file) => {
    const text = readFileSync(join(root, file), "utf8");
    return (
      /[:<|&=(]\s*(typeof\s+)?import\("[^"]+"\)\./.test(text) || /from "[^"]*\w\/\.\.\//.test(text)
    );
  });
  assert.deepEqual(unseen, []);
});

/** A folder with this project's Biome configuration and no files. */
function plantedTree(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "roma-imports-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  for (const name of ["biome.json", "biome.imports.jsonc", ".gitignore"]) {
    copyFileSync(join(root, name), join(folder, name));
  }
  return folder;
}

function plant(folder: string, file: string, lines: readonly string[]): void {
  mkdirSync(dirname(join(folder, file)), { recursive: true });
  writeFileSync(join(folder, file), `${lines.join("\n")}\n`);
}

/** The places (`file:line`) that one rule reports. */
function lint(folder: string, rule: string): string[] {
  const args = [
    "lint",
    `--only=${rule}`,
    "--max-diagnostics=none",
    "--reporter=github",
    "--colors=off",
    ".",
  ];
  const { stdout, stderr } = spawnSync(process.execPath, [biome, ...args], {
    cwd: folder,
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
  });
  assert.ok(/Checked \d+ files|errors were emitted/.test(stdout + stderr), stdout + stderr);
  const pattern = new RegExp(`^::error title=lint/${rule},file=(.+?),line=(\\d+),`, "gm");
  return [...stdout.matchAll(pattern)].map(([, file, line]) => {
    const path = (file ?? "").replaceAll("\\", "/");
    return `${path.slice(path.indexOf("packages/"))}:${line}`;
  });
}

/** The `includes` of each override, in order. */
function includesOfTable(): string[][] {
  const text = readFileSync(join(root, "biome.imports.jsonc"), "utf8");
  const lists = [...text.matchAll(/"includes": \[([^\]]*)\]/g)];
  return lists.map(([, list]) =>
    [...(list ?? "").matchAll(/"([^"]+)"/g)].map(([, glob]) => glob ?? ""),
  );
}
