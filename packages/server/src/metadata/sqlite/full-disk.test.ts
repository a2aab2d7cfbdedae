/** A full disk: a small tmpfs, which only root can mount. */
import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import { isOperationalError } from "../../core/errors.ts";
import { silentLog } from "../../core/ports/log.ts";
import { author, bucket, deletedAt, garbageDueAt, put, withCode } from "../conformance-samples.ts";
import { openSqliteStore } from "./store.ts";

test("a full disk answers storage_full, keeps all that was acknowledged, and nothing else", async (t) => {
  const folder = smallDisk(t);
  if (folder === undefined) return;
  const path = join(folder, "metadata.sqlite");
  const ballast = join(folder, "ballast");
  writeFileSync(ballast, new Uint8Array(3 << 20));
  const acknowledged: string[] = [];
  const refused: string[] = [];
  {
    await using store = await openSqliteStore({ path, log: silentLog });
    await store.createBucket(bucket("b"), { author });
    const putMany = async (name: string) => {
      const keys = Array.from({ length: 20 }, (_, index) => `${name}/${index}`);
      const note = { note: "x".repeat(2000) };
      const results = await Promise.allSettled(
        keys.map((key) => put(store, key, { userMetadata: note })),
      );
      for (const [index, result] of results.entries()) {
        (result.status === "fulfilled" ? acknowledged : refused).push(keys[index] ?? "");
        if (result.status === "rejected") withCode("storage_full")(result.reason);
      }
    };
    for (let round = 0; refused.length < 100; round += 1) await putMany(`k${round}`);
    assert.ok(acknowledged.length > 100);
    // Reading goes on.
    assert.notEqual(await store.headObject("b", acknowledged[0] ?? ""), undefined);
    rmSync(ballast);
    const before = acknowledged.length;
    await putMany("after");
    assert.equal(acknowledged.length, before + 20, "writes succeed once there is room");
    writeFileSync(ballast, new Uint8Array(1 << 20));
    for (const key of acknowledged.slice(0, 5)) {
      await store.deleteObject("b", key, { deletedAt, author, garbageDueAt }).catch((error) => {
        if (!isOperationalError(error, "storage_full")) throw error;
      });
    }
    acknowledged.splice(0, 5);
  }
  rmSync(ballast);
  await using store = await openSqliteStore({ path, log: silentLog });
  for (const key of acknowledged) assert.notEqual(await store.headObject("b", key), undefined, key);
  for (const key of refused) assert.equal(await store.headObject("b", key), undefined, key);
  using database = new DatabaseSync(path, { readOnly: true });
  const [check] = database.prepare("pragma integrity_check").all();
  assert.deepEqual({ ...check }, { integrity_check: "ok" });
});

/** 6 MiB, gone after the test; `undefined`, with the test skipped, where mounting is refused. */
function smallDisk(t: TestContext): string | undefined {
  if (process.platform !== "linux" || process.getuid?.() !== 0) {
    t.skip("mounting a tmpfs needs root on Linux");
    return undefined;
  }
  const folder = mkdtempSync(join(tmpdir(), "roma-full-"));
  const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=6m", "tmpfs", folder]);
  t.after(() => {
    if (mounted.status === 0) spawnSync("umount", [folder]);
    rmSync(folder, { recursive: true, force: true });
  });
  if (mounted.status === 0) return folder;
  t.skip(`mounting a tmpfs was refused: ${String(mounted.stderr ?? mounted.error).trim()}`);
  return undefined;
}
