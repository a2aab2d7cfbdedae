import { strict as assert } from "node:assert";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { silentLog } from "../../core/ports/log.ts";
import { openPosixStorage } from "../posix/driver.ts";
import { systemFiles } from "../posix/files.ts";
import { ClosingStorages } from "./closing-storages.ts";
import { OpenStorage } from "./open-storage.ts";

test("a storage that is closed over a call that hangs says so, until the call has ended", async (t) => {
  const root = await mkdtemp(join(tmpdir(), "roma-closing-"));
  t.after(() => rm(root, { recursive: true, force: true }));
  const mayWrite = Promise.withResolvers<void>();
  const files = {
    ...systemFiles,
    write: async (...given: Parameters<typeof systemFiles.write>) => {
      await mayWrite.promise;
      return await systemFiles.write(...given);
    },
  };
  const driver = await openPosixStorage({ id: "s", root, createMarker: true, files });
  const mark = { ...driver.mark, label: async () => {} };
  const closing = new ClosingStorages({ leaseMsMax: 20, drainMsMax: 20 });
  const body = async function* () {
    yield new Uint8Array(100_000);
  };
  const put = driver.put("k", body(), { signal: new AbortController().signal });
  closing.add(new OpenStorage(driver, { log: silentLog, mark }));
  await closing.drain();
  assert.ok(closing.isHung);
  mayWrite.resolve();
  await put;
  const until = performance.now() + 60_000;
  while (closing.isHung) {
    assert.ok(performance.now() < until, "it has ended");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
});
