// Builds what is published: for each package build/<folder>/ with ES modules and declarations in
// dist/, its assets, its manifest rewritten to point there, and the licence. Nothing is written into
// the source tree. dist/ lies where src/ does, so a path relative to a source file stays right.
//
//   npm run build                       into build/
//   npm run build -- --out DIR          into another folder
//   npm run build -- --pack             and one .tgz for each package, beside the folders

import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { buildSync } from "esbuild";
import { type Manifest, publishedManifest, readManifest } from "./build-manifest.ts";

const root = resolve(import.meta.dirname, "..");
const typescript = createRequire(import.meta.url).resolve("typescript/package.json");

const { values } = parseArgs({
  options: { out: { type: "string" }, pack: { type: "boolean", default: false } },
});
const out = resolve(values.out ?? join(root, "build"));

/** Entries that old Nodes load as well, by the path of the file: one file each, without `import`. */
const forOldNodes: Readonly<Record<string, { readonly entry: string; readonly file: string }>> = {
  "parse-file-controller": { entry: "src/node/index.ts", file: "dist/node.cjs" },
};

type Package = { readonly folder: string; readonly manifest: Manifest };

const all: readonly Package[] = fs
  .globSync("packages/*/package.json", { cwd: root })
  .sort()
  .map((path) => ({
    folder: dirname(path).slice("packages/".length),
    manifest: readManifest(join(root, path)),
  }));
const hasModules = ({ folder }: Package) =>
  fs.globSync("src/**/*.ts", { cwd: join(root, "packages", folder) }).length > 0;
const packages = all.filter(hasModules);
const empty = all.filter((one) => !hasModules(one));

const compiled = compile();
for (const one of packages) assemble(one);
for (const { manifest } of empty) console.log(`left out: ${manifest.name} has no modules yet`);
fs.rmSync(compiled, { recursive: true });
if (values.pack) pack();
console.log(`built ${packages.map(({ manifest }) => manifest.name).join(", ")} in ${out}`);

/** All packages in one run of the compiler, to a folder that is later taken apart. */
function compile(): string {
  const folder = join(out, ".compiled");
  fs.rmSync(folder, { recursive: true, force: true });
  fs.mkdirSync(folder, { recursive: true });
  const tsc = join(dirname(typescript), "bin/tsc");
  run(process.execPath, [tsc, "-p", join(root, "tsconfig.build.json"), "--outDir", folder], root);
  return folder;
}

function assemble({ folder, manifest }: Package): void {
  const source = join(root, "packages", folder);
  const target = join(out, folder);
  const dist = join(target, "dist");
  fs.rmSync(target, { recursive: true, force: true });
  fs.mkdirSync(target, { recursive: true });
  const modules = join(compiled, folder, "src");
  fs.renameSync(modules, dist);
  for (const file of fs.globSync("**/*.{js,d.ts}", { cwd: dist })) finishModule(join(dist, file));
  for (const file of fs.globSync("src/**/*.{html,js,css,svg,png,ico,json,sql}", { cwd: source })) {
    const copy = join(dist, file.slice("src/".length));
    fs.mkdirSync(dirname(copy), { recursive: true });
    fs.copyFileSync(join(source, file), copy);
  }
  const old = forOldNodes[folder];
  if (old !== undefined) bundleForOldNodes(join(source, old.entry), join(target, old.file));
  fs.copyFileSync(join(root, "LICENSE"), join(target, "LICENSE"));
  const readme = join(source, "README.md");
  if (fs.existsSync(readme)) fs.copyFileSync(readme, join(target, "README.md"));

  const versions = new Map(packages.map((one) => [one.manifest.name, one.manifest.version]));
  const published = publishedManifest(manifest, versions);
  for (const file of published.entryFiles) {
    if (!fs.existsSync(join(target, file))) {
      throw new Error(`${manifest.name} publishes ${file}, which was not built`);
    }
  }
  for (const file of published.binFiles) fs.chmodSync(join(target, file), 0o755);
  fs.writeFileSync(join(target, "package.json"), `${JSON.stringify(published.json, null, 2)}\n`);
}

/**
 * Turns the `.ts` of relative paths into `.js` where the compiler leaves it: in declarations, and in
 * `new URL("./worker.ts", import.meta.url)`. Refuses a module that names a folder of this machine.
 */
function finishModule(path: string): void {
  const text = fs.readFileSync(path, "utf8");
  const finished = path.endsWith(".d.ts")
    ? text.replace(/((?:from|import) ?\(?")(\.{1,2}\/[^"]+)\.ts"/g, '$1$2.js"')
    : text.replace(/(new URL\(["'`])(\.{1,2}\/[^"'`]+)\.ts(["'`])/g, "$1$2.js$3");
  if (/(?:from|import) ?\(?"\.[^"]*\.ts"/.test(finished)) {
    throw new Error(`${path} still imports a .ts file`);
  }
  if (finished.includes(root)) throw new Error(`${path} names ${root}`);
  if (finished !== text) fs.writeFileSync(path, finished);
}

function bundleForOldNodes(entry: string, file: string): void {
  buildSync({
    ...{ entryPoints: [entry], outfile: file, absWorkingDir: root, bundle: true },
    ...{ platform: "node", format: "cjs", target: "node10" },
  });
}

function pack(): void {
  for (const old of fs.globSync("*.tgz", { cwd: out })) fs.rmSync(join(out, old));
  const folders = packages.map(({ folder }) => `./${folder}`);
  run("npm", ["pack", "--ignore-scripts", "--silent", "--pack-destination", out, ...folders], out);
}

function run(command: string, args: readonly string[], cwd: string): void {
  const { status, error } = spawnSync(command, args, { cwd, stdio: "inherit" });
  if (error !== undefined) throw error;
  if (status !== 0) {
    console.error(`${command} ${args[0] ?? ""} ended with ${status ?? "a signal"}`);
    process.exit(1);
  }
}
