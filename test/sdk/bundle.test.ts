// How much of a page's bundle the SDK is.
import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { bundleFirst } from "./bundle.ts";

const KiB = 1024;

async function size(contents: string): Promise<number> {
  return gzipSync(await bundleFirst(contents), { level: 9 }).length;
}

test("the uploader alone is at most 12 KB gzipped", async (t) => {
  const bytes = await size('export { Uploader } from "@roma/sdk";');
  t.diagnostic(`${bytes} bytes`);
  assert.ok(bytes <= 12 * KiB, `${bytes} bytes`);
});

test("all of Roma is at most 15 KB gzipped", async (t) => {
  const bytes = await size('export { Roma } from "@roma/sdk";');
  t.diagnostic(`${bytes} bytes`);
  assert.ok(bytes <= 15 * KiB, `${bytes} bytes`);
});
