/**
 * Serves a page whose scripts are npm packages as they were installed, with no bundler: modules by an
 * import map, CommonJS wrapped. Its origin is not the tested server's, so what the page does there is
 * subject to CORS.
 */
import { strict as assert } from "node:assert";
import { readFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import type { TestContext } from "node:test";
import { servePages } from "../harness/page-origin.ts";

const root = resolve(import.meta.dirname, "../..");

const imports = {
  "@uppy/core": "/node_modules/@uppy/core/lib/index.js",
  "@uppy/core/utils": "/node_modules/@uppy/core/lib/utils/index.js",
  "@uppy/tus": "/node_modules/@uppy/tus/lib/index.js",
  "@transloadit/prettier-bytes": "/node_modules/@transloadit/prettier-bytes/dist/prettierBytes.js",
  "lodash/throttle.js": "/commonjs/lodash/throttle.js",
  "mime-match": "/commonjs/mime-match/index.js",
  "namespace-emitter": "/commonjs/namespace-emitter/index.js",
  "nanoid/non-secure": "/node_modules/nanoid/non-secure/index.js",
  preact: "/node_modules/preact/dist/preact.module.js",
  "preact/hooks": "/node_modules/preact/hooks/dist/hooks.module.js",
  "preact/jsx-runtime": "/node_modules/preact/jsx-runtime/dist/jsxRuntime.module.js",
  "tus-js-client": "/tus-js-client.js",
};

const page = `<!doctype html><title>loading</title>
<script type="importmap">${JSON.stringify({ imports })}</script>
<script type="module" src="/page.js"></script>`;

/** The published browser build is a classic script that sets a global. */
const tusModule = `import "/node_modules/tus-js-client/dist/tus.min.js";
export const { Upload, isSupported, defaultOptions } = globalThis.tus;`;

/** The origin of a page that has `content` to upload. */
export async function startPageServer(t: TestContext, content: Uint8Array): Promise<string> {
  return await servePages(t, (request, response) => {
    respond(request, response, content).catch((error: unknown) => {
      response.writeHead(404).end(String(error));
    });
  });
}

async function respond(
  request: IncomingMessage,
  response: ServerResponse,
  content: Uint8Array,
): Promise<void> {
  const { pathname } = new URL(request.url ?? "", "http://page.test");
  const answer = (type: string, body: string | Uint8Array): void => {
    response.writeHead(200, { "content-type": type }).end(body);
  };
  const script = "text/javascript";
  if (pathname === "/") answer("text/html", page);
  else if (pathname === "/favicon.ico") response.writeHead(204).end();
  else if (pathname === "/content") answer("application/octet-stream", content);
  else if (pathname === "/tus-js-client.js") answer(script, tusModule);
  else if (pathname === "/page.js") {
    answer(script, await readFile(join(import.meta.dirname, "page.js")));
  } else if (pathname.startsWith("/commonjs/")) {
    answer(script, await wrapped(pathname.slice("/commonjs/".length)));
  } else {
    assert.match(pathname, /^\/node_modules\/[\w./@-]+\.(?:js|mjs|json)$/);
    const type = pathname.endsWith(".json") ? "application/json" : script;
    answer(type, await readFile(join(root, pathname)));
  }
}

/** A CommonJS file of node_modules as a module; what it requires is imported before it runs. */
async function wrapped(path: string): Promise<string> {
  const folder = join(root, "node_modules");
  const file = join(folder, path);
  const source = await readFile(file, "utf8");
  const { resolve: resolveFrom } = createRequire(file);
  const names = [...source.matchAll(/require\(["']([^"']+)["']\)/g)].map(([, name = ""]) => name);
  const required = [...new Set(names)]
    .map((name, index) => {
      const target = resolveFrom(name).slice(folder.length + 1);
      return { name, variable: `required${index}`, target };
    })
    // In a comment: an example of its use.
    .filter(({ target }) => target !== path);
  return [
    ...required.map(({ variable, target }) => `import ${variable} from "/commonjs/${target}";`),
    `const table = { ${required.map(({ name, variable }) => `"${name}": ${variable}`).join(", ")} };`,
    "const module = { exports: {} };",
    "(function (module, exports, require) {",
    source,
    "}).call(module.exports, module, module.exports, (name) => table[name]);",
    "export default module.exports;",
  ].join("\n");
}
