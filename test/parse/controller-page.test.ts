/** Our file controller in a page of another origin, under Parse's own SDK for browsers, in Chromium. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, type TestContext, test } from "node:test";
import { buildSync } from "esbuild";
import { type Browser, chromium, type Page } from "playwright-core";
import { describeWhere } from "../prerequisites.ts";
import { application, environmentFolder } from "./environment.ts";
import { startRoma } from "./ways.ts";

const entry = join(
  import.meta.dirname,
  "../../packages/parse-file-controller/src/browser/index.ts",
);

describeWhere(["parse", "chromium"], "our file controller in a page", () => {
  let browser: Browser;
  before(async () => {
    const args = ["--no-sandbox", "--disable-dev-shm-usage"];
    browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args });
  });
  after(() => browser.close());

  test("a File, base64 and metadata are saved with progress, and read back", async (t) => {
    const roma = await startRoma(t, { serverURL: "http://127.0.0.1:9/parse" });
    const page = await openPage(t, browser);
    const settings = { ...application, filesURL: `${roma.url}/parse` };
    const saved = await page.evaluate(savedInPage, settings);
    assert.deepEqual(saved.read, [3_000_000, 5]);
    const last = saved.told.at(-1);
    assert.deepEqual(last, [1, 3_000_000, 3_000_000]);
    assert.match(saved.names[0] ?? "", /^[0-9a-f]{32}_报告\.bin$/);
    assert.deepEqual(saved.refused, { code: 122, hasMessage: true });
    const url = `${settings.filesURL}/files/${application.appId}/metadata/${saved.names[1]}`;
    const facts = JSON.parse(await (await fetch(url)).text());
    assert.deepEqual(facts.metadata, { title: "Übung" });
  });
});

interface Saved {
  readonly names: readonly string[];
  readonly told: readonly (readonly (number | null)[])[];
  /** Bytes of each, as `getData` had them. */
  readonly read: readonly number[];
  readonly refused: { readonly code: number; readonly hasMessage: boolean };
}

/** Runs in the page: nothing of this module is there. */
async function savedInPage(settings: {
  readonly appId: string;
  readonly javascriptKey: string;
  readonly filesURL: string;
}): Promise<Saved> {
  // biome-ignore lint/suspicious/noExplicitAny: the page's own globals, which have no types here
  const { Parse, Controller, File } = globalThis as any;
  Parse.initialize(settings.appId, settings.javascriptKey);
  Parse.serverURL = "http://127.0.0.1:9/nothing";
  Controller.install(Parse, { filesURL: settings.filesURL });
  const told: (number | null)[][] = [];
  const bytes = new Uint8Array(3_000_000).fill(65);
  const large = new Parse.File("报告.bin", new File([bytes], "x.bin"));
  await large.save({ progress: (...given: (number | null)[]) => told.push(given) });
  const small = new Parse.File("small.txt", { base64: btoa("hello") }, "text/plain");
  small.setMetadata({ title: "Übung" });
  await small.save();
  const read: number[] = [];
  for (const file of [large, small]) {
    const again = Parse.File.fromJSON({ __type: "File", name: file.name(), url: file.url() });
    read.push(atob(await again.getData()).length);
  }
  const bad = new Parse.File("a*b.txt", { base64: "eA==" });
  const refused = await bad.save().catch((error: { code: number; message: string }) => error);
  return {
    names: [large.name(), small.name()],
    told,
    read,
    refused: { code: refused.code, hasMessage: refused instanceof Parse.Error },
  };
}

async function openPage(t: TestContext, browser: Browser): Promise<Page> {
  const bundle = buildSync({
    ...{ entryPoints: [entry], bundle: true, write: false },
    ...{ format: "iife", globalName: "Controller", target: "es2022" },
  });
  const sdk = join(environmentFolder(), "node_modules/parse/dist/parse.min.js");
  const files: Readonly<Record<string, string>> = {
    "/parse.js": await readFile(sdk, "utf8"),
    "/controller.js": bundle.outputFiles[0]?.text ?? "",
  };
  const html =
    '<!doctype html><script src="parse.js"></script><script src="controller.js"></script>';
  const server = createServer(({ url = "" }, response) => {
    const script = files[url];
    const type = script === undefined ? "text/html" : "text/javascript";
    response.writeHead(200, { "content-type": `${type}; charset=utf-8` }).end(script ?? html);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const page = await browser.newPage();
  t.after(async () => {
    await page.close();
    server.closeAllConnections();
    server.close();
  });
  await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  return page;
}
