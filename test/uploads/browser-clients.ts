/**
 * What tus-js-client's browser build and Uppy's Tus plugin ask of a server and the storage behind it, in
 * Chromium, from a page of another origin.
 */
import { strict as assert } from "node:assert";
import { createHash, randomBytes } from "node:crypto";
import { after, before, type TestContext, test } from "node:test";
import { type Browser, chromium, type Page } from "playwright-core";
import { cleanUp } from "../harness/cleanup.ts";
import { startCuttingProxy } from "../harness/cutting-proxy.ts";
import { basicAuthorization } from "../harness/http-client.ts";
import { describeWhere } from "../prerequisites.ts";
import { assertNothingPending, type Backing, type OpenBacking } from "./backing.ts";
import { startPageServer } from "./page-server.ts";
import { cutsBelow } from "./random-cuts.ts";
import { assertServed } from "./stored-bytes.ts";

const MB = 1_000_000;
/** A browser that starts beside many other processes takes its time. */
const hangsMs = 120_000;
const headers = { Authorization: basicAuthorization };

export function describeBrowserClients(name: string, open: OpenBacking): void {
  describeWhere(["chromium"], `tus clients in Chromium, ${name}`, () => {
    let browser: Browser | undefined;
    before(async () => {
      const args = ["--no-sandbox", "--disable-dev-shm-usage"];
      browser = await chromium.launch({
        executablePath: "/usr/bin/chromium",
        args,
        timeout: hangsMs,
      });
    });
    after(() => browser?.close());

    const start = async (t: TestContext, options: { readonly cuts?: number } = {}) => {
      assert(browser !== undefined, "the browser runs");
      const backing = await open(t);
      const bytes = randomBytes(20 * MB + 1);
      const count = options.cuts ?? 0;
      const cuts = count === 0 ? [] : cutsBelow(t, { count, length: bytes.length });
      const proxy = await startCuttingProxy(t, { upstream: () => backing.server, cuts });
      const origin = await startPageServer(t, bytes);
      const context = await browser.newContext();
      cleanUp(t, () => context.close());
      context.setDefaultTimeout(hangsMs);
      const page = await context.newPage();
      await page.goto(origin);
      const tab = new Tab(page);
      await tab.ready();
      return {
        backing,
        tab,
        endpoint: `${proxy.url}/tus/demo`,
        assertStored: async (key: string) => {
          assert.equal(proxy.cutsDone, cuts.length, "every cut came");
          await assertWhole(backing, key, bytes);
        },
      };
    };

    test("tus-js-client: five resets at random bytes", async (t) => {
      const { tab, endpoint, assertStored } = await start(t, { cuts: 5 });
      const { methods } = await tab.uploadWithTus({ endpoint, headers, key: "reset" });
      assert.equal(methods.filter((method) => method === "POST").length, 1, "it never began anew");
      await assertStored("reset");
    });

    test("tus-js-client: three parallel uploads become one object", async (t) => {
      const { tab, endpoint, assertStored } = await start(t, { cuts: 2 });
      await tab.uploadWithTus({ endpoint, headers, key: "parallel", parallelUploads: 3 });
      await assertStored("parallel");
    });

    test("tus-js-client: a stream whose length is told at its end", async (t) => {
      const { tab, endpoint, assertStored } = await start(t, { cuts: 2 });
      const deferred = { isStream: true, uploadLengthDeferred: true, chunkSize: 6 * MB };
      await tab.uploadWithTus({ endpoint, headers, key: "stream", ...deferred });
      await assertStored("stream");
    });

    test("tus-js-client: goes on in a reloaded page after the server was killed", async (t) => {
      const { backing, tab, endpoint, assertStored } = await start(t);
      const options = { endpoint, headers, key: "reloaded", chunkSize: 4 * MB };
      await tab.uploadWithTus({ ...options, pauseAtBytes: 9 * MB });
      await backing.server.kill();
      await backing.server.start();
      await tab.reload();
      const { methods } = await tab.uploadWithTus({ ...options, resume: true });
      assert.ok(!methods.includes("POST"), "it never began anew");
      await assertStored("reloaded");
    });

    test("Uppy: five resets at random bytes, and a pause", async (t) => {
      const { tab, endpoint, assertStored } = await start(t, { cuts: 5 });
      await tab.uploadWithUppy({ endpoint, headers, key: "uppy", pauseMs: 500 });
      await assertStored("uppy");
    });

    test("Uppy: pieces, the first with the creation", async (t) => {
      const { tab, endpoint, assertStored } = await start(t);
      const pieces = { chunkSize: 3 * MB, uploadDataDuringCreation: true };
      await tab.uploadWithUppy({ endpoint, headers, key: "pieces", ...pieces });
      await assertStored("pieces");
    });
  });
}

/** The page's functions. */
class Tab {
  readonly #page: Page;
  readonly #errors: string[] = [];

  constructor(page: Page) {
    this.#page = page;
    page.on("pageerror", (error) => this.#errors.push(String(error)));
  }

  async ready(): Promise<void> {
    await this.#page.waitForFunction('document.title === "ready"').catch((cause: unknown) => {
      throw new Error(`the page did not load: ${this.#errors.join(", ")}`, { cause });
    });
  }

  async reload(): Promise<void> {
    await this.#page.reload();
    await this.ready();
  }

  async uploadWithTus(options: object): Promise<{ readonly methods: readonly string[] }> {
    return await this.#page.evaluate(`uploadWithTus(${JSON.stringify(options)})`);
  }

  async uploadWithUppy(options: object): Promise<void> {
    const result = await this.#page.evaluate(`uploadWithUppy(${JSON.stringify(options)})`);
    assert.deepEqual(result, { successful: 1, errors: [] });
  }
}

async function assertWhole(backing: Backing, key: string, bytes: Uint8Array): Promise<void> {
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  await assertServed(backing.server, key, { length: bytes.length, sha256 });
  await assertNothingPending(backing);
}
