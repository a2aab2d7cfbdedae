/** The examples work as they are: a page of each, in Chromium, uploads a file with the grant of its backend. */
import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { after, before, type TestContext, test } from "node:test";
import { type Browser, chromium } from "playwright-core";
import { cleanUp } from "../harness/cleanup.ts";
import { send } from "../harness/http-client.ts";
import {
  rootKey,
  type ServerProcess,
  startServer,
  temporaryFolder,
} from "../harness/server-process.ts";
import { describeWhere, requirePrerequisite } from "../prerequisites.ts";
import { startNext } from "./next.ts";

const examples = resolve(import.meta.dirname, "../../examples");
const text = "a file of a person";

describeWhere(["chromium"], "examples", () => {
  let browser: Browser;
  before(async () => {
    const args = ["--no-sandbox", "--disable-dev-shm-usage"];
    browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args });
  });
  after(() => browser?.close());

  test("express", async (t) => {
    const server = await startServer(t);
    const url = await startExpress(t, server);
    await uploadAt(t, { browser, url });
    await assertStored(server);
  });

  test("next", async (t) => {
    if (!requirePrerequisite(t, "next")) return;
    const server = await startServer(t);
    const url = await startNext(t, { ROMA_URL: server.url, ROMA_KEY: rootKey });
    await uploadAt(t, { browser, url });
    await assertStored(server);
  });
});

async function startExpress(t: TestContext, roma: ServerProcess): Promise<string> {
  const environment = { ...process.env, ROMA_URL: roma.url, ROMA_KEY: rootKey, PORT: "0" };
  const child = spawn(process.execPath, [join(examples, "express/server.js")], {
    env: environment,
    stdio: ["ignore", "pipe", "inherit"],
  });
  cleanUp(t, async () => {
    child.kill();
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  });
  for await (const line of createInterface(child.stdout)) {
    const [, url] = /^listening on (\S+)$/.exec(line) ?? [];
    if (url !== undefined) return url;
  }
  throw new Error("the example ended before it listened");
}

async function uploadAt(
  t: TestContext,
  { browser, url }: { readonly browser: Browser; readonly url: string },
): Promise<void> {
  const path = join(await temporaryFolder(t), "Note.TXT");
  await writeFile(path, text);
  const page = await browser.newPage();
  t.after(() => page.close());
  await page.goto(url);
  await page.setInputFiles(".uppy-Dashboard-input >> nth=0", path);
  await page.click(".uppy-StatusBar-actionBtn--upload");
  await page.waitForSelector(".uppy-StatusBar.is-complete");
}

async function assertStored(server: ServerProcess): Promise<void> {
  const answer = await send(server, "GET", "/v1/objects/demo");
  const { objects } = JSON.parse(answer.body.toString()) as {
    readonly objects: readonly { readonly key: string; readonly url: string; context: unknown }[];
  };
  assert.equal(objects.length, 1);
  const [object] = objects;
  assert.match(object?.key ?? "", /^users\/ann\/\d{4}-\d\d-\d\d\/[0-9a-f-]{36}\.txt$/);
  assert.deepEqual(object?.context, { user: "ann" });
  const stored = await send(server, "GET", object?.url ?? "");
  assert.equal(stored.body.toString(), text);
}
