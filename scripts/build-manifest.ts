// The manifest that a package is published with, from the one it is developed with: entry points in
// dist/ as JavaScript with declarations, siblings at exactly their version, nothing for developers.

import { readFileSync } from "node:fs";

export type Manifest = {
  readonly name: string;
  readonly version: string;
  /** All fields, in order. */
  readonly fields: Readonly<Record<string, unknown>>;
};

export type PublishedManifest = {
  readonly json: Readonly<Record<string, unknown>>;
  /** Files that `exports` and `bin` point to, relative to the package. */
  readonly entryFiles: readonly string[];
  readonly binFiles: readonly string[];
};

const droppedFields = new Set(["devDependencies", "scripts", "private", "workspaces"]);

/** Reads a package.json. Throws when it has no name or version. */
export function readManifest(path: string): Manifest {
  const fields: unknown = JSON.parse(readFileSync(path, "utf8"));
  if (!isRecord(fields)) throw new Error(`${path} is not an object`);
  const { name, version } = fields;
  if (typeof name !== "string" || typeof version !== "string") {
    throw new Error(`${path} has no name or version`);
  }
  return { name, version, fields };
}

/** The manifest to publish. `versions` holds each package of this workspace with its version. */
export function publishedManifest(
  manifest: Manifest,
  versions: ReadonlyMap<string, string>,
): PublishedManifest {
  const entryFiles: string[] = [];
  const binFiles: string[] = [];
  const built = (source: string, extension: ".js" | ".d.ts"): string => {
    if (!/^(\.\/)?src\/.*\.ts$/.test(source))
      throw new Error(`${manifest.name}: ${source} in src?`);
    const file = source.replace(/^(\.\/)?src\//, "./dist/").replace(/\.ts$/, extension);
    entryFiles.push(file);
    return file;
  };
  const exported = (target: unknown): unknown => {
    if (target === "./package.json") return target;
    if (typeof target !== "string") throw new Error(`${manifest.name}: exports must name files`);
    if (!target.endsWith(".ts")) {
      const file = target.replace(/^\.\/src\//, "./dist/");
      entryFiles.push(file);
      return file;
    }
    return { types: built(target, ".d.ts"), default: built(target, ".js") };
  };
  const rewritten: Readonly<Record<string, (value: unknown) => unknown>> = {
    exports: (value) => mapValues(value, exported),
    bin: (value) =>
      mapValues(value, (target) => {
        const file = built(String(target), ".js");
        binFiles.push(file);
        return file.slice("./".length);
      }),
    files: () => ["dist"],
    dependencies: (value) =>
      mapValues(value, (wanted, name) => {
        const sibling = versions.get(name);
        return sibling ?? wanted;
      }),
  };
  const json: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(manifest.fields)) {
    if (droppedFields.has(name)) continue;
    json[name] = rewritten[name]?.(value) ?? value;
  }
  return { json, entryFiles, binFiles };
}

function mapValues(
  value: unknown,
  map: (value: unknown, name: string) => unknown,
): Record<string, unknown> {
  if (!isRecord(value)) throw new Error("expected an object");
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, map(one, name)]));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
