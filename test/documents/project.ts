/** A reader's own folder: the packages are installed there, and what is pasted runs there. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { TestContext } from "node:test";
import { promisify } from "node:util";
import { build } from "esbuild";
import { servePages } from "../harness/page-origin.ts";
import { temporaryFolder } from "../harness/temporary-folder.ts";

const run = promisify(execFile);
const modules = resolve(import.meta.dirname, "../../node_modules");

/** A new folder in which these packages can be imported; removed after the test. */
export async function createProject(t: TestContext, packages: readonly string[]): Promise<string> {
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, "package.json"), JSON.stringify({ type: "module" }));
  for (const name of packages) {
    const path = join(folder, "node_modules", name);
    await mkdir(resolve(path, ".."), { recursive: true });
    await symlink(join(modules, name), path);
  }
  return folder;
}

/** To its end, which must come by itself. Rejects with what it said when it fails. */
export async function runModule(folder: string, text: string): Promise<string> {
  const path = join(folder, "pasted.js");
  await writeFile(path, text);
  const { stdout } = await run(process.execPath, [path], { cwd: folder, timeout: 300_000 });
  return stdout;
}

export interface PageParts {
  readonly html: string;
  /** A module of the page, bundled with what it imports. */
  readonly script: string;
  /** What the page's backend answers to `POST /grant`. */
  readonly grant: () => string;
}

/** A page with a backend of its own; answers its address. */
export async function servePasted(
  t: TestContext,
  folder: string,
  { html, script, grant }: PageParts,
): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents: script, resolveDir: folder, loader: "jsx" },
    ...{ bundle: true, format: "esm", jsx: "automatic", write: false, logLevel: "error" },
    define: { "process.env.NODE_ENV": '"production"' },
  });
  const [bundle] = outputFiles;
  assert(bundle !== undefined);
  const page = `<!doctype html><meta charset="utf-8">${html}<script type="module" src="/page.js"></script>`;
  return await servePages(t, ({ method, url }, response) => {
    if (method === "POST" && url === "/grant") {
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ grant: grant() }));
    } else if (url === "/page.js") {
      response.writeHead(200, { "content-type": "text/javascript" }).end(bundle.contents);
    } else response.writeHead(200, { "content-type": "text/html" }).end(page);
  });
}
