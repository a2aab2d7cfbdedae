/** Where a download ends up, and what a failed one leaves: nothing. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Download } from "@roma/sdk";
import { localPath, writeDownload } from "./download-file.ts";
import { UsageError } from "./usage-error.ts";

function download(chunks: readonly string[], failure?: Error): Download {
  const head = { size: null, etag: null, contentType: null, lastModified: null, version: null };
  return {
    head: { ...head, crc64nvme: null, metadata: {} },
    length: null,
    verified: true,
    body: (async function* () {
      for (const chunk of chunks) yield Buffer.from(chunk);
      if (failure !== undefined) throw failure;
    })(),
    cancel: () => {},
  };
}

test("keys that would leave the folder, or have no place in it, are refused", () => {
  assert.equal(localPath("/base", "a/ü b/c"), "/base/a/ü b/c");
  for (const key of ["../x", "a/../../x", "/etc/passwd", "a//b", "a/./b", "a/", "", "a\0b"]) {
    assert.throws(() => localPath("/base", key), UsageError, key);
  }
});

test("a download that fails at its end leaves the old file and no other", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "roma-cli-"));
  t.after(() => rm(folder, { recursive: true }));
  const path = join(folder, "a");
  await writeFile(path, "old");
  const failing = download(["new ", "bytes"], new Error("the CRC differs"));
  await assert.rejects(writeDownload(failing, path), /CRC differs/);
  assert.deepEqual(await readdir(folder), ["a"]);
  assert.equal(await readFile(path, "utf8"), "old");
  await writeDownload(download(["new ", "bytes"]), path);
  assert.equal(await readFile(path, "utf8"), "new bytes");
  await assert.rejects(writeDownload(download(["x"]), folder), UsageError);
});
