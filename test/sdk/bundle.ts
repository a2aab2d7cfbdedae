/** The SDK as a page gets it: bundled and minified, with what is fetched later in files of its own. */
import assert from "node:assert/strict";
import { join, resolve } from "node:path";
import { build, type Plugin } from "esbuild";

const root = resolve(import.meta.dirname, "../..");
const sdk = join(root, "packages/sdk/src");

const entries: Readonly<Record<string, string>> = {
  "@roma/sdk": join(sdk, "browser/index.ts"),
  "@roma/sdk/react": join(sdk, "react/index.ts"),
};

const sources: Plugin = {
  name: "the SDK's sources",
  setup(build) {
    build.onResolve({ filter: /^@roma\/sdk(\/react)?$/ }, ({ path }) => ({
      path: entries[path] ?? "",
    }));
  },
};

/** What a page fetches at first, as one file; modules that few uploads need are left out. */
export async function bundleFirst(contents: string): Promise<Uint8Array> {
  const later: Plugin = {
    name: "what is fetched later",
    setup(build) {
      build.onResolve({ filter: /./ }, ({ kind, path }) =>
        kind === "dynamic-import" ? { path, external: true } : undefined,
      );
    },
  };
  const { outputFiles } = await build({
    ...{ stdin: { contents, resolveDir: root, loader: "ts" }, plugins: [later, sources] },
    ...{ bundle: true, minify: true, format: "esm", target: "es2022", write: false },
  });
  const [file] = outputFiles;
  assert(outputFiles.length === 1 && file !== undefined);
  return file.contents;
}

/** Files by name, `page.js` first of all, from a module of `test/sdk`. */
export async function bundlePage(name: string): Promise<ReadonlyMap<string, Uint8Array>> {
  const { outputFiles } = await build({
    ...{ entryPoints: { page: join(import.meta.dirname, name) }, plugins: [sources] },
    ...{ bundle: true, minify: true, splitting: true, format: "esm", target: "es2022" },
    ...{ write: false, outdir: "/", jsx: "automatic" },
    define: { "process.env.NODE_ENV": '"production"' },
  });
  return new Map(outputFiles.map(({ path, contents }) => [path, contents]));
}
