// The server and the command line with all that they need as a few modules, for the servers that tests start:
// 900 files that are found, stripped of types and linked one by one are half of what a start costs. What
// runs is the tree's code as esbuild strips it; its paths relative to a source file lead into the bundle.

import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { build, type Plugin } from "esbuild";

const packages = resolve(import.meta.dirname, "../packages");
const main = "cli/src/main";
/** What starts by itself: the command, a supervisor's worker, and threads. */
const entries = [
  main,
  "server/src/worker",
  "server/src/metadata/sqlite/worker",
  "server/src/storage/layers/digest-worker",
];
/** What a module opens beside its own file. Copied: a bundle outlives the checkout that it was made of. */
const assets = ["cli/package.json", "console/src/static"];

/** In each file: what CommonJS modules ask for when they run, and where the bundle is. */
const banner = [
  'import { createRequire as $createRequire } from "node:module";',
  "const require = $createRequire(import.meta.url);",
  String.raw`const $bundle = import.meta.url.replace(/(\/server-[0-9a-f]{16}\/).*/, "$1");`,
].join("\n");

/** The path of the bundled command. A bundle has its content's name, since the compile cache goes by paths. */
export async function bundleServer(cacheFolder: string): Promise<string> {
  mkdirSync(cacheFolder, { recursive: true });
  const own = join(cacheFolder, `server-${process.pid}`);
  const { outputFiles } = await build({
    entryPoints: entries.map((entry) => join(packages, `${entry}.ts`)),
    ...{ outdir: own, outbase: packages, write: false, plugins: [placed()] },
    ...{ bundle: true, splitting: true, format: "esm", platform: "node", target: "node26" },
    banner: { js: banner },
    // A class is named in logs and errors.
    ...{ keepNames: true, logLevel: "error" },
  });
  const hash = createHash("sha256");
  for (const { path, contents } of outputFiles)
    hash.update(path.slice(own.length)).update(contents);
  for (const path of assets.flatMap(filesOf))
    hash.update(path).update(readFileSync(join(packages, path)));
  const folder = join(cacheFolder, `server-${hash.digest("hex").slice(0, 16)}`);
  if (existsSync(folder)) {
    const now = new Date();
    utimesSync(folder, now, now);
  } else {
    for (const { path, contents } of outputFiles) {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, contents);
    }
    for (const path of assets) cpSync(join(packages, path), join(own, path), { recursive: true });
    rename(own, folder);
    removeOld(cacheFolder);
  }
  return join(folder, `${main}.js`);
}

/** The file, or those in the folder, relative to the packages. */
function filesOf(path: string): string[] {
  return globSync([path, `${path}/**`], { cwd: packages })
    .filter((found) => statSync(join(packages, found)).isFile())
    .sort();
}

/** A run beside this one may have been faster. */
function rename(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if (!existsSync(to)) throw error;
    rmSync(from, { recursive: true });
  }
}

/** What no run that goes on can be using: each tells by the folder's time that it does. */
function removeOld(cacheFolder: string): void {
  const dayMs = 24 * 60 * 60_000;
  for (const folder of globSync(join(cacheFolder, "server-*"))) {
    if (Date.now() - statSync(folder).mtimeMs > dayMs) rmSync(folder, { recursive: true });
  }
}

/** Modules leave their folders, so `import.meta.url` is written out: as where they would lie in the bundle. */
function placed(): Plugin {
  return {
    name: "placed",
    setup({ onLoad }) {
      onLoad({ filter: /\/packages\/[^/]+\/src\/.*\.ts$/ }, ({ path }) => {
        const place = JSON.stringify(relative(packages, path).replace(/\.ts$/, ".js"));
        const contents = readFileSync(path, "utf8")
          .replace(/(new URL\(["'`]\.{1,2}\/[^"'`]+)\.ts(["'`])/g, "$1.js$2")
          .replaceAll("import.meta.url", `new URL(${place}, $bundle).href`);
        return { contents, loader: "ts" };
      });
    },
  };
}
