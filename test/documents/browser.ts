/** A person in front of a page that was pasted from a document: chooses a file, and sees what is printed. */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { chromium, type Page } from "playwright-core";
import { cleanUp } from "../harness/cleanup.ts";
import { eventually } from "../harness/process-usage.ts";

/** A browser that starts beside many other processes takes its time. */
const hangsMs = 120_000;

export interface Pasted {
  readonly page: Page;
  /** What `console.log` was given, in order, as JSON has it. */
  readonly printed: readonly unknown[];
}

/** Opens the page and chooses the file in its one input. Closed, and looked at for errors, after the test. */
export async function chooseFile(t: TestContext, url: string, path: string): Promise<Pasted> {
  const args = ["--no-sandbox", "--disable-dev-shm-usage"];
  const launch = { executablePath: "/usr/bin/chromium", args, timeout: hangsMs };
  const browser = await chromium.launch(launch);
  cleanUp(t, () => browser.close());
  const page = await browser.newPage();
  page.setDefaultTimeout(hangsMs);
  const errors: string[] = [];
  const printed: unknown[] = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", async (message) => {
    if (message.type() === "error") errors.push(message.text());
    // The last may come when the page is gone.
    const value: unknown = await message
      .args()[0]
      ?.jsonValue()
      .catch(() => undefined);
    if (value !== undefined) printed.push(value);
  });
  cleanUp(t, () => assert.deepEqual(errors, []));
  await page.goto(url);
  await page.setInputFiles("input[type=file]", path);
  return { page, printed };
}

/** Waits until what was printed last has these members. */
export async function untilPrinted({ printed }: Pasted, wanted: object): Promise<void> {
  const holds = () => {
    const last = printed.at(-1);
    return typeof last === "object" && isDeepStrictEqual({ ...last, ...wanted }, last);
  };
  await eventually(`${JSON.stringify(wanted)} is printed`, holds).catch((cause: unknown) => {
    throw new Error(`printed last: ${JSON.stringify(printed.at(-1))}`, { cause });
  });
}
