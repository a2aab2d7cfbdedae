// `useUpload` in a page with React, in strict mode.
import assert from "node:assert/strict";
import { after, before, type TestContext, test } from "node:test";
import { type Browser, chromium } from "playwright-core";
import { startMemoryServer } from "../../packages/sdk/src/node/testing.ts";
import { cleanUp } from "../harness/cleanup.ts";
import { eventually } from "../harness/process-usage.ts";
import { describeWhere } from "../prerequisites.ts";
import { servePage, Tab } from "./tab.ts";

interface Shown {
  readonly state: string;
  readonly bytes?: number;
  readonly size?: number;
  readonly error: string;
}

describeWhere(["chromium"], "useUpload in Chromium", () => {
  let browser: Browser;
  before(async () => {
    const args = ["--no-sandbox", "--disable-dev-shm-usage"];
    browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args });
  });
  after(() => browser?.close());

  const scene = async (t: TestContext) => {
    const server = await startMemoryServer();
    cleanUp(t, () => server.close());
    const options = JSON.stringify({ endpoint: server.url, token: server.credential });
    const origin = `${await servePage(t, { script: "react-page.ts" })}/#${encodeURIComponent(options)}`;
    const tab = await Tab.open(t, browser, { origin });
    const look = async (): Promise<Shown> => {
      return JSON.parse((await tab.page.textContent("output")) ?? "") as Shown;
    };
    return {
      ...{ server, tab, look },
      click: (id: string) => tab.page.click(`#${id}`),
      shows: (state: string) =>
        eventually(`it shows ${state}`, async () => (await look()).state === state, 120_000),
    };
  };

  test("it shows the state, the bytes, the result and the failure of an upload", async (t) => {
    const { server, tab, look, click, shows } = await scene(t);
    assert.equal((await look()).state, "idle");
    await click("large");
    await shows("done");
    assert.equal((await look()).bytes, 40_000_000);
    await eventually("the result is shown", async () => (await look()).size === 40_000_000);
    server.tokens.clear();
    await click("large");
    await shows("failed");
    const { error, size } = await look();
    assert.match(error, /the key is not known/);
    assert.equal(size, undefined, "nothing of the one before is shown");
    await click("reset");
    await shows("idle");
    assert.deepEqual(
      tab.errors.filter((line) => !/401/.test(line)),
      [],
    );
  });

  test("pause, resume, cancel; a component that goes takes its upload along", async (t) => {
    const { server, click, shows, tab } = await scene(t);
    const held = () => {
      server.intercept = ({ url = "" }) => url.includes("/3?");
    };
    held();
    await click("large");
    await shows("uploading");
    await click("pause");
    await shows("paused");
    server.intercept = () => false;
    await click("resume");
    await shows("done");
    held();
    for (const end of ["cancel", "leave"]) {
      await click("large");
      await shows("uploading");
      await click(end);
      await eventually(`${end} frees it`, () => {
        return [...server.direct.uploads.values()].every(({ object }) => object !== undefined);
      });
    }
    assert.deepEqual(tab.errors, []);
  });
});
