/**
 * Serves pages that esbuild makes of their modules and the packages as they were installed. Their origin is
 * not the tested server's, so what they do there is subject to CORS.
 */
import { resolve } from "node:path";
import type { TestContext } from "node:test";
import { build } from "esbuild";
import { servePages } from "../harness/page-origin.ts";

const html = (name: string) => `<!doctype html><meta charset="utf-8"><title>loading</title>
<link rel="stylesheet" href="/${name}.css"><div id="uppy"></div>
<script type="module" src="/${name}.js"></script>`;

/** By name: the module of a page, relative to this folder. Answers their origin. */
export async function startPages(
  t: TestContext,
  pages: Readonly<Record<string, string>>,
): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: Object.entries(pages).map(([name, module]) => ({
      in: resolve(import.meta.dirname, module),
      out: name,
    })),
    outdir: "/",
    bundle: true,
    format: "esm",
    write: false,
    logLevel: "error",
    loader: { ".svg": "dataurl" },
  });
  const files = new Map<string, readonly [type: string, body: string | Uint8Array]>();
  for (const { path, contents } of outputFiles) {
    files.set(path, [path.endsWith(".css") ? "text/css" : "text/javascript", contents]);
  }
  for (const name of Object.keys(pages)) files.set(`/${name}`, ["text/html", html(name)]);
  return await servePages(t, (request, response) => {
    const [type, body] = files.get(request.url ?? "") ?? [];
    if (type === undefined) response.writeHead(404).end();
    else response.writeHead(200, { "content-type": type }).end(body);
  });
}
