/**
 * Uppy's Dashboard in Chromium, interrupted in the middle of a file: by its own pause button, and by a
 * reload of the page from which the plugin Golden Retriever recovers. Both go on where they were, in one
 * object under the key of the beginning.
 */
import { strict as assert } from "node:assert";
import { after, before, type TestContext, test } from "node:test";
import { type Browser, chromium, type Page } from "playwright-core";
import { cleanUp } from "../harness/cleanup.ts";
import { type CuttingProxy, startCuttingProxy } from "../harness/cutting-proxy.ts";
import { send } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { describeWhere } from "../prerequisites.ts";
import { assertNothingPending, type Backing, openPosixBacking } from "../uploads/backing.ts";
import { assertServed, type RandomFile } from "../uploads/stored-bytes.ts";
import { grantFor, listObjects, namedFile, type Result, type Uploader } from "./dashboard.ts";
import { startPages } from "./page-server.ts";

const MB = 1_000_000;
const length = 40 * MB;
/** In parts of 5 MiB, Uppy's smallest. */
const partBytes = 5 * 1024 * 1024;
/** What the page may send in a second: the whole file takes some. */
const throughput = 15 * MB;

type Retriever = "IndexedDB" | "service worker";

interface FileState {
  readonly bytes: number;
  readonly s3Multipart?: { readonly key: string };
  readonly uploadUrl?: string;
}

describeWhere(["chromium"], "Uppy, interrupted", () => {
  let browser: Browser;
  before(async () => {
    const args = ["--no-sandbox", "--disable-dev-shm-usage"];
    browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args });
  });
  after(() => browser?.close());

  test("paused and resumed with the Dashboard's button", async (t) => {
    const scene = await start(t);
    const uploaders = ["companionEndpoint", "signRequest", "getCredentials", "version 5", "tus"];
    for (const uploader of uploaders as readonly Uploader[]) {
      await t.test(uploader, async (t) => {
        const { file, proxy, assertOneMore } = scene;
        const page = await open(t, { browser, scene, uploader });
        const sent = proxy.bytes;
        const { result } = await begin(page, file);
        await reach(page, ({ bytes }) => bytes > 2 * partBytes);
        await page.click("[data-cy=togglePauseResume]");
        await untilQuiet(proxy);
        assert.ok(proxy.bytes - sent < length, `${proxy.bytes - sent} bytes were sent`);
        await page.click("[data-cy=togglePauseResume]");
        const { errors } = await result;
        assert.deepEqual(errors, []);
        await assertOneMore();
        // What was under way at the pause goes again: of version 5 six parts.
        const again = proxy.bytes - sent - length;
        t.diagnostic(`${again} bytes were sent again`);
        const parts = uploader === "version 5" ? 6 : 1;
        assert.ok(again < parts * partBytes + MB, `${again} bytes were sent again`);
      });
    }
    await assertNothingPending(scene.backing);
  });

  test("reloaded in the middle, and restored by Golden Retriever", async (t) => {
    const scene = await start(t);
    for (const [uploader, retriever] of [
      ["companionEndpoint", "IndexedDB"],
      ["signRequest", "service worker"],
      ["getCredentials", "IndexedDB"],
      ["tus", "IndexedDB"],
      ["tus", "service worker"],
      ["xhr", "IndexedDB"],
    ] as readonly (readonly [Uploader, Retriever])[]) {
      await t.test(`${uploader}, ${retriever}`, async (t) => {
        const { file, proxy, assertOneMore } = scene;
        const page = await open(t, { browser, scene, uploader, retriever });
        await begin(page, file);
        await reach(page, ({ bytes }) => bytes > 4 * partBytes);
        const { s3Multipart, uploadUrl } = await fileState(page);
        await page.reload();
        await untilQuiet(proxy);
        const there = uploader === "tus" ? await offsetOf(scene, uploadUrl) : 4 * partBytes;
        const sent = proxy.bytes;
        const requests: string[] = [];
        page.on("request", (request) => requests.push(`${request.method()} ${request.url()}`));
        await startUppy(page, { scene, uploader, retriever });
        await page.waitForSelector(".uppy-Dashboard-serviceMsg");
        const result = page.evaluate("nextResult()") as Promise<Result>;
        await page.click(".uppy-StatusBar-actionBtn--upload");
        const { uploaded, errors } = await result;
        assert.deepEqual(errors, []);
        const key = await assertOneMore();
        if (uploader === "xhr") return;
        const again = proxy.bytes - sent;
        t.diagnostic(`${again} bytes were sent after the reload, ${there} were there`);
        assert.ok(again < length - there + partBytes, `${again} bytes were sent after the reload`);
        if (uploader === "tus") {
          assert.ok(requests.includes(`HEAD ${uploadUrl}`), requests.join("\n"));
          assert.equal(uploaded[0]?.uploadURL, uploadUrl);
        } else {
          assert.equal(s3Multipart?.key, key, "the key is that of the beginning");
          const lists = /^GET .*(\/s3\/multipart\/[^/?]+\?key=|\?uploadId=|&uploadId=)/;
          assert.ok(
            requests.some((request) => lists.test(request)),
            requests.join("\n"),
          );
        }
      });
    }
    await assertNothingPending(scene.backing);
  });
});

interface Scene {
  readonly backing: Backing;
  readonly proxy: CuttingProxy;
  readonly origin: string;
  readonly file: RandomFile;
  /** There is one object more than before, with the file's bytes. Answers its key. */
  assertOneMore(): Promise<string>;
}

async function start(t: TestContext): Promise<Scene> {
  const backing = await openPosixBacking(t);
  const proxy = await startCuttingProxy(t, { upstream: () => backing.server });
  const pages = { "page-6": "page-6.js", "page-5": "../uppy-5/page.js", worker: "worker.js" };
  const origin = await startPages(t, pages);
  const file = await namedFile(t, "large.BIN", length);
  const known = new Set<string>();
  return {
    ...{ backing, proxy, origin, file },
    async assertOneMore() {
      const keys = (await listObjects(backing)).map(({ key }) => key);
      const [key = "", ...others] = keys.filter((one) => !known.has(one));
      assert.ok(key !== "" && others.length === 0, keys.join());
      known.add(key);
      await assertServed(backing.server, key, file);
      return key;
    },
  };
}

interface Setting {
  readonly scene: Scene;
  readonly uploader: Uploader;
  readonly retriever?: Retriever;
}

/** A page that sends no faster than a slow network would. */
async function open(
  t: TestContext,
  { browser, ...setting }: Setting & { readonly browser: Browser },
): Promise<Page> {
  const context = await browser.newContext();
  cleanUp(t, () => context.close());
  const page = await context.newPage();
  const session = await context.newCDPSession(page);
  await session.send("Network.enable");
  await session.send("Network.emulateNetworkConditions", {
    ...{ offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: throughput },
  });
  const { origin } = setting.scene;
  await page.goto(`${origin}/${setting.uploader === "version 5" ? "page-5" : "page-6"}`);
  await startUppy(page, setting);
  return page;
}

async function startUppy(page: Page, { scene, uploader, retriever }: Setting): Promise<void> {
  await page.waitForFunction('document.title === "ready"');
  const grant = await grantFor(scene.backing, uploader);
  const options = uploader === "tus" || uploader === "xhr" ? {} : { shouldUseMultipart: true };
  const given = { uploader, server: scene.proxy.url, grant, options, retriever };
  await page.evaluate(`startUppy(${JSON.stringify(given)})`);
}

/** Resolves when it has begun. */
async function begin(
  page: Page,
  { path }: RandomFile,
): Promise<{ readonly result: Promise<Result> }> {
  await page.setInputFiles(".uppy-Dashboard-input >> nth=0", path);
  const result = page.evaluate("nextResult()") as Promise<Result>;
  // Of a page that goes nobody asks.
  result.catch(() => {});
  await page.click(".uppy-StatusBar-actionBtn--upload");
  return { result };
}

async function fileState(page: Page): Promise<FileState> {
  return (await page.evaluate("fileState()")) as FileState;
}

/** How much of an upload by tus the server has: what was on its way is lost when the page goes. */
async function offsetOf({ backing }: Scene, uploadUrl = ""): Promise<number> {
  const headers = { "tus-resumable": "1.0.0" };
  const answer = await send(backing.server, "HEAD", new URL(uploadUrl).pathname, { headers });
  const offset = Number(answer.headers["upload-offset"]);
  assert.ok(offset > 0, `${answer.status}, ${offset} bytes are there`);
  return offset;
}

async function reach(page: Page, holds: (state: FileState) => boolean): Promise<void> {
  let last: FileState | undefined;
  await eventually(
    "it is in the middle",
    async () => {
      last = await fileState(page);
      return holds(last);
    },
    60_000,
  ).catch((cause: unknown) => {
    throw new Error(JSON.stringify(last), { cause });
  });
}

/**
 * Nothing was sent for half a second, in which at full speed megabytes would be. By looks, not by the clock:
 * the proxy is of this process, and sends nothing while that stands still.
 */
async function untilQuiet(proxy: CuttingProxy): Promise<void> {
  let before = -1;
  let still = 0;
  await eventually(
    "nothing is sent any more",
    () => {
      still = proxy.bytes === before ? still + 1 : 0;
      before = proxy.bytes;
      return still >= 20;
    },
    60_000,
  );
}
