/** A tab of Chromium with the tests' page in it, from an origin of its own. */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import type { Browser, BrowserContext, CDPSession, Page } from "playwright-core";
import { cleanUp } from "../harness/cleanup.ts";
import { servePages } from "../harness/page-origin.ts";
import { eventually } from "../harness/process-usage.ts";
import { bundlePage } from "./bundle.ts";
import type { PageState, PageUpload } from "./page.ts";

export interface PageOptions {
  /** A module of this folder. */
  readonly script?: string;
  /** `Content-Security-Policy`. */
  readonly policy?: string;
}

/** Where the page is served. */
export async function servePage(
  t: TestContext,
  { script = "page.ts", policy }: PageOptions = {},
): Promise<string> {
  const files = await bundlePage(script);
  const html = `<!doctype html><title>loading</title><link rel="icon" href="data:,">
    <div id="root"></div><div id="drop" style="height: 100px">drop here</div>
    <script type="module" src="/page.js"></script>`;
  return await servePages(t, ({ url = "/" }, response) => {
    const file = url === "/" ? Buffer.from(html) : files.get(url);
    if (file === undefined) return response.writeHead(404).end();
    response.writeHead(200, {
      "content-type": url === "/" ? "text/html" : "text/javascript",
      // So that the page may measure its memory.
      "cross-origin-opener-policy": "same-origin",
      "cross-origin-embedder-policy": "require-corp",
      ...(policy === undefined ? {} : { "content-security-policy": policy }),
    });
    return response.end(file);
  });
}

export class Tab {
  readonly page: Page;
  readonly context: BrowserContext;
  readonly #session: CDPSession;
  readonly #errors: string[] = [];

  private constructor(page: Page, context: BrowserContext, session: CDPSession) {
    this.page = page;
    this.context = context;
    this.#session = session;
    page.on("pageerror", (error) => this.#errors.push(String(error)));
    page.on("console", (message) => {
      if (message.type() === "error") this.#errors.push(message.text());
    });
  }

  static async open(
    t: TestContext,
    browser: Browser,
    options: PageOptions & { readonly context?: BrowserContext; readonly origin?: string } = {},
  ): Promise<Tab> {
    const origin = options.origin ?? (await servePage(t, options));
    const context = options.context ?? (await browser.newContext());
    if (options.context === undefined) cleanUp(t, () => context.close());
    const page = await context.newPage();
    page.setDefaultTimeout(120_000);
    const tab = new Tab(page, context, await context.newCDPSession(page));
    await page.goto(origin);
    await page.waitForFunction('document.title === "ready"').catch((cause: unknown) => {
      throw new Error(`the page did not load: ${tab.#errors.join(", ")}`, { cause });
    });
    return tab;
  }

  get errors(): readonly string[] {
    return this.#errors;
  }

  async call<T>(name: string, argument: unknown): Promise<T> {
    return (await this.page.evaluate(`page.${name}(${JSON.stringify(argument)})`)) as T;
  }

  begin(upload: PageUpload): Promise<void> {
    return this.call("begin", upload);
  }

  look(): Promise<PageState> {
    return this.call("look", null);
  }

  /** Waits until the upload has come so far. */
  async reach(what: string, holds: (state: PageState) => boolean, msMax = 300_000): Promise<void> {
    let last: PageState | undefined;
    await eventually(
      what,
      async () => {
        last = await this.look();
        if (last.error !== undefined && !holds(last)) throw new Error(last.error);
        return holds(last);
      },
      msMax,
    ).catch((cause: unknown) => {
      throw new Error(`${what}: ${JSON.stringify(last)}, ${this.#errors.join(", ")}`, { cause });
    });
  }

  /** Waits for the end; rejects when it failed. */
  async done(msMax?: number): Promise<PageState> {
    await this.reach("the upload is done", ({ result }) => result !== undefined, msMax);
    return await this.look();
  }

  /** What scripts of the page and its workers hold. */
  async heapBytes(): Promise<number> {
    await this.#session.send("HeapProfiler.collectGarbage");
    const measured: unknown = await this.page.evaluate(
      "performance.measureUserAgentSpecificMemory().then(({ bytes }) => bytes)",
    );
    assert(typeof measured === "number");
    return measured;
  }

  async setOffline(offline: boolean): Promise<void> {
    await this.context.setOffline(offline);
  }
}
