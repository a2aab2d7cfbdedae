// The reference of the SDK can be made, with no comment that leads nowhere, and names what people look for.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { temporaryFolder } from "./harness/temporary-folder.ts";

const program = resolve(import.meta.dirname, "../scripts/reference/main.ts");

test("npm run docs describes every entry of the SDK", async (t) => {
  const folder = await temporaryFolder(t);
  const { status, stderr, stdout } = spawnSync(process.execPath, [program, folder], {
    encoding: "utf8",
  });
  assert.equal(status, 0, `${stdout}\n${stderr}`);
  const pages = ["classes/browser.Roma", "classes/node.Roma", "interfaces/browser.Upload"];
  for (const page of [...pages, "functions/react.useUpload"]) {
    assert.ok(existsSync(join(folder, `${page}.html`)), page);
  }
  const options = await readFile(join(folder, "interfaces/browser.UploadOptions.html"), "utf8");
  assert.match(options, /createOnly/);
  assert.match(options, /Refuse with .*precondition_failed/);
});
