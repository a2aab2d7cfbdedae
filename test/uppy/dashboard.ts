/**
 * Uppy's Dashboard in Chromium with each of its uploaders that speak to us, from a page of another origin: a
 * small file and one that comes in parts, chosen as a person does, compared byte by byte.
 */
import { strict as assert } from "node:assert";
import { rename } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type Browser, chromium, type Page } from "playwright-core";
import { send } from "../harness/http-client.ts";
import { temporaryFolder } from "../harness/temporary-folder.ts";
import { assertNothingPending, type Backing, type OpenBacking } from "../uploads/backing.ts";
import { assertServed, type RandomFile, randomFile } from "../uploads/stored-bytes.ts";
import { startPages } from "./page-server.ts";

const MB = 1_000_000;
/** Uppy sends more than 100 MiB in parts. */
const largeBytes = 120 * MB;

export type Uploader =
  | "companionEndpoint"
  | "signRequest"
  | "getCredentials"
  | "version 5"
  | "xhr"
  | "tus";

export interface Result {
  readonly uploaded: readonly { readonly name: string; readonly uploadURL?: string }[];
  readonly errors: readonly string[];
}

interface Listed {
  readonly key: string;
  readonly size: number;
  readonly context: unknown;
}

export function testDashboard(
  name: string,
  open: OpenBacking,
  uploaders: readonly Uploader[],
): void {
  test(`Uppy's Dashboard, ${name}`, async (t) => {
    const backing = await open(t);
    const pages = { "page-6": "page-6.js", "page-5": "../uppy-5/page.js" };
    const origin = await startPages(t, pages);
    const files = {
      small: await namedFile(t, "small.BIN", MB),
      large: await namedFile(t, "large.BIN", largeBytes),
      third: await namedFile(t, "third.BIN", 1000),
    };
    const args = ["--no-sandbox", "--disable-dev-shm-usage"];
    const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args });
    t.after(() => browser.close());
    for (const uploader of uploaders) {
      await t.test(uploader, async () => {
        const before = await listObjects(backing);
        await using dashboard = await openDashboard(browser, { origin, uploader, backing });
        const chosen = [files.small, files.large];
        const { uploaded, errors } = await dashboard.upload(chosen.map(({ path }) => path));
        assert.deepEqual(errors, []);
        assert.equal(uploaded.length, 2);
        const made = (await listObjects(backing)).filter(
          ({ key }) => !before.some((one) => one.key === key),
        );
        assert.equal(made.length, 2);
        for (const { key, size, context } of made) {
          assert.match(key, /^in\/[0-9a-f-]{36}\.bin$/);
          assert.deepEqual(context, { user: uploader });
          const file = chosen.find(({ length }) => length === size);
          assert(file !== undefined, `a file of ${size} bytes was chosen`);
          await assertServed(backing.server, key, file);
          const urls = uploaded.map(({ uploadURL }) => uploadURL ?? "");
          // Tus tells the address of the upload.
          if (uploader !== "tus")
            assert.ok(
              urls.some((url) => url.endsWith(key)),
              urls.join(" "),
            );
        }
        // The grant was for two.
        const refused = await dashboard.upload([files.third.path], { again: true });
        assert.equal(refused.errors.length, 1, JSON.stringify(refused));
        assert.equal((await listObjects(backing)).length, before.length + 2);
      });
    }
    await assertNothingPending(backing);
  });
}

/** Random bytes under a name that a person gave. */
export async function namedFile(t: TestContext, name: string, length: number): Promise<RandomFile> {
  const file = await randomFile(t, length);
  const path = join(await temporaryFolder(t), name);
  await rename(file.path, path);
  return { ...file, path };
}

export async function listObjects({ server }: Backing): Promise<readonly Listed[]> {
  const answer = await send(server, "GET", "/v1/objects/demo");
  const { objects } = JSON.parse(answer.body.toString()) as { readonly objects: readonly Listed[] };
  return objects;
}

export async function grantFor({ server }: Backing, uploader: Uploader): Promise<string> {
  const body = JSON.stringify({
    bucket: "demo",
    template: "in/{uuid}{ext}",
    actions: ["object:write"],
    count: 2,
    maxBytes: largeBytes,
    context: { user: uploader },
    expiresIn: "1 h",
  });
  const answer = await send(server, "POST", "/v1/grants", { body });
  assert.equal(answer.status, 201, answer.body.toString());
  return (JSON.parse(answer.body.toString()) as { readonly grant: string }).grant;
}

async function openDashboard(
  browser: Browser,
  {
    origin,
    uploader,
    backing,
  }: { readonly origin: string; readonly uploader: Uploader; readonly backing: Backing },
) {
  const context = await browser.newContext();
  const page = await context.newPage();
  const problems: string[] = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  await page.goto(`${origin}/${uploader === "version 5" ? "page-5" : "page-6"}`);
  await page.waitForFunction('document.title === "ready"').catch((cause: unknown) => {
    throw new Error(`the page did not load: ${problems.join(", ")}`, { cause });
  });
  const given = { uploader, server: backing.server.url, grant: await grantFor(backing, uploader) };
  await page.evaluate(`startUppy(${JSON.stringify(given)})`);
  return {
    upload: (paths: readonly string[], options = {}) => upload(page, paths, options),
    [Symbol.asyncDispose]: () => context.close(),
  };
}

/** By the file input and the button, as a person does. */
async function upload(
  page: Page,
  paths: readonly string[],
  { again = false }: { readonly again?: boolean },
): Promise<Result> {
  if (again) {
    // All done: the Dashboard offers to begin anew.
    await page.click(".uppy-StatusBar-actionBtn--done, .uppy-DashboardContent-back");
  }
  await page.setInputFiles(".uppy-Dashboard-input >> nth=0", [...paths]);
  const result = page.evaluate("nextResult()") as Promise<Result>;
  await page.click(".uppy-StatusBar-actionBtn--upload");
  return await result;
}
