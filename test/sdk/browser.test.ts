// The SDK in Chromium, from a page of another origin, against a whole server on a local disk.
import assert from "node:assert/strict";
import { after, before, type TestContext, test } from "node:test";
import { type Browser, chromium } from "playwright-core";
import { startMemoryServer } from "../../packages/sdk/src/node/testing.ts";
import { cleanUp } from "../harness/cleanup.ts";
import { startCuttingProxy } from "../harness/cutting-proxy.ts";
import { eventually } from "../harness/process-usage.ts";
import { rootKey, startServer } from "../harness/server-process.ts";
import { describeWhere } from "../prerequisites.ts";
import { servePage, Tab } from "./tab.ts";

const MB = 1_000_000;
const token = rootKey.replace(":", ".");

describeWhere(["chromium"], "the SDK in Chromium", () => {
  let browser: Browser;
  before(async () => {
    const args = ["--no-sandbox", "--disable-dev-shm-usage"];
    browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args });
  });
  after(() => browser?.close());

  const memoryServer = async (t: TestContext) => {
    const server = await startMemoryServer();
    cleanUp(t, () => server.close());
    const { objects, direct, url, credential } = server;
    objects.clear();
    direct.settings.partBytes = 5 * MB;
    return { server, options: { endpoint: url, token: credential } };
  };

  test("1 GB: the tab is closed at 40 %, another goes on; the page's memory is flat", async (t) => {
    const server = await startServer(t);
    const origin = await servePage(t);
    const context = await browser.newContext();
    cleanUp(t, () => context.close());
    const length = 1_000_000_000;
    // Of this process: when it stands still, so does the upload that it is to interrupt.
    const proxy = await startCuttingProxy(t, { upstream: () => server });
    const upload = { endpoint: proxy.url, token, key: "large", length };
    const first = await Tab.open(t, browser, { context, origin });
    await first.begin(upload);
    await first.reach("40 % are sent", ({ bytes }) => bytes >= 0.4 * length);
    await first.page.close();
    const second = await Tab.open(t, browser, { context, origin });
    const idle = await second.heapBytes();
    await second.begin(upload);
    await second.reach("it goes on", ({ bytes, state }) => state === "uploading" && bytes > 0);
    const { bytes, notices } = await second.look();
    assert.deepEqual(notices, ["resumed"]);
    // Parts that were under way are not, nor those that the page's database had not taken yet.
    assert.ok(bytes >= 0.2 * length, `${bytes} bytes are there`);
    let most = 0;
    for (let done = false; !done; ) {
      most = Math.max(most, (await second.heapBytes()) - idle);
      const { result, error } = await second.look();
      assert.equal(error, undefined);
      done = result !== undefined;
    }
    const { result, steady } = await second.done();
    assert.equal(result?.size, length);
    assert.equal(steady, true, "progress never goes back");
    t.diagnostic(`the page held at most ${(most / MB).toFixed(1)} MB more than idle`);
    assert.ok(most < 40 * MB, `${most} bytes`);
    const download = { ...upload, endpoint: server.url };
    assert.equal(await second.call("downloadBytes", download), length);
  });

  test("1,000 small files are dropped", async (t) => {
    const server = await startServer(t);
    const tab = await Tab.open(t, browser);
    await tab.call("acceptDrops", { endpoint: server.url, token });
    await tab.page.evaluate(`{
      const dataTransfer = new DataTransfer();
      for (let n = 0; n < 1000; n++) dataTransfer.items.add(new File(["file " + n], n + ".txt"));
      document.querySelector("#drop").dispatchEvent(new DragEvent("drop", { dataTransfer }));
    }`);
    await eventually("they are there", async () => (await tab.page.title()) !== "ready", 300_000);
    assert.equal(await tab.page.title(), "dropped 1000");
    assert.deepEqual(tab.errors, []);
  });

  test("offline for some seconds: it waits, and goes on by itself", async (t) => {
    const { server, options } = await memoryServer(t);
    server.direct.settings.discard = true;
    const tab = await Tab.open(t, browser);
    const upload = { ...options, key: "a", length: 300 * MB };
    // It cannot end before the page is offline: of 60 parts the last 40 hang until then.
    server.intercept = ({ url = "" }) => Number(/^\/signed\/[^/]+\/(\d+)\?/.exec(url)?.[1]) > 20;
    await tab.begin({ ...upload });
    await tab.reach("a part is there", ({ bytes }) => bytes > 20 * MB);
    await tab.setOffline(true);
    await tab.reach("it is offline", ({ state }) => state === "offline");
    server.intercept = () => false;
    await new Promise((resolve) => setTimeout(resolve, 5_000));
    const { state, notices } = await tab.look();
    assert.equal(state, "offline");
    assert.deepEqual(notices, []);
    await tab.setOffline(false);
    const { result, steady } = await tab.done();
    assert.equal(result?.size, 300 * MB);
    assert.equal(steady, true);
  });

  test("a token that expires in the middle is fetched again", async (t) => {
    const { server, options } = await memoryServer(t);
    const tab = await Tab.open(t, browser);
    server.tokens.add("first");
    server.intercept = ({ url = "" }) => {
      if (!url.startsWith("/signed/") || !url.includes("/2?")) return false;
      server.tokens.clear();
      server.tokens.add("second");
      return false;
    };
    await tab.page.evaluate(`
      globalThis.asked = 0;
      globalThis.token = () => ["first", "second"][globalThis.asked++];
      page.begin({ ...${JSON.stringify(options)}, token, key: "a", length: ${60 * MB} });`);
    const { result } = await tab.done();
    assert.equal(result?.size, 60 * MB);
    assert.equal(await tab.page.evaluate("asked"), 2);
  });

  test("a storage that does not answer pages of this origin: all goes through the server", async (t) => {
    const { server, options } = await memoryServer(t);
    server.direct.settings.storageCors = false;
    const tab = await Tab.open(t, browser);
    await tab.begin({ ...options, key: "a", length: 30 * MB });
    const { result, notices } = await tab.done();
    assert.equal(result?.size, 30 * MB);
    assert.deepEqual(notices, ["direct_failed"]);
  });

  test("a page whose policy allows no workers digests by itself", async (t) => {
    const { server, options } = await memoryServer(t);
    const policy = "default-src 'self'; connect-src *; img-src data:; worker-src 'none'";
    const tab = await Tab.open(t, browser, { policy });
    await tab.begin({ ...options, key: "a", length: 30 * MB });
    const { result } = await tab.done();
    assert.equal(result?.crc64nvme, server.objects.get("demo/a")?.json.checksums.crc64nvme ?? "");
    assert.ok(
      tab.errors.some((error) => /worker/i.test(error)),
      "its policy forbade one",
    );
    assert.equal(tab.page.workers().length, 0);
  });

  test("instant: the file is read, proven, and not sent", async (t) => {
    const { server, options } = await memoryServer(t);
    const tab = await Tab.open(t, browser);
    const upload = { ...options, key: "a", length: 30 * MB };
    await tab.begin(upload);
    await tab.done();
    const before = server.requests.filter((request) => request.startsWith("PUT")).length;
    await tab.begin({ ...upload, key: "b", instant: true });
    const { notices, result } = await tab.done();
    assert.deepEqual(notices, ["instant"]);
    assert.equal(result?.size, 30 * MB);
    assert.equal(server.requests.filter((request) => request.startsWith("PUT")).length, before);
  });

  test("a stream, and everything else that Roma does, against the server itself", async (t) => {
    const server = await startServer(t);
    const options = { endpoint: server.url, token };
    const tab = await Tab.open(t, browser);
    await tab.begin({ ...options, key: "stream", length: 30 * MB, as: "stream" });
    const streamed = await tab.done();
    await tab.begin({ ...options, key: "file", length: 30 * MB });
    const sent = await tab.done();
    assert.deepEqual(streamed.result, sent.result);
    assert.equal(tab.page.workers().length, 1, "a worker digests what is a file");
    assert.deepEqual(JSON.parse(await tab.call("roundTrip", options)), {
      ...{ contentType: "text/plain", crc: true, text: "round trip", signed: "round trip" },
      left: ["round/copy"],
    });
    assert.deepEqual(tab.errors, []);
  });
});
