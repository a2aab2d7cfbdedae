/** The last line of a read-only server: no call of its store changes anything, whoever makes it. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { OperationalError } from "../../packages/server/src/core/errors.ts";
import { fencedStore } from "../../packages/server/src/core/fenced-store.ts";
import { silentLog } from "../../packages/server/src/core/ports/log.ts";
import { openSqliteStore } from "../../packages/server/src/metadata/index.ts";
import { reads, writes } from "../../packages/server/src/metadata/queries/operations.ts";
import { temporaryFolder } from "../harness/temporary-folder.ts";

test("every query that writes is refused, and every one that reads goes through", async (t) => {
  const path = join(await temporaryFolder(t), "metadata.sqlite");
  await using store = await openSqliteStore({ path, log: silentLog });
  await store.putSetting("name", "before");
  let isReadOnly = true;
  const fenced = fencedStore(store, () => {
    if (isReadOnly) throw new OperationalError("read_only", "nothing is changed");
  });
  for (const name of Object.keys(writes).filter((write) => write !== "probe")) {
    // Refused before the arguments are looked at.
    const call: unknown = Reflect.get(fenced, name);
    assert.ok(typeof call === "function", name);
    await assert.rejects(async () => await call(), { code: "read_only" }, name);
  }
  assert.equal(await fenced.getSetting("name"), "before");
  await fenced.probe();
  for (const name of Object.keys(reads)) {
    assert.equal(typeof Reflect.get(fenced, name), "function", name);
  }
  isReadOnly = false;
  await fenced.putSetting("name", "after");
  assert.equal(await store.getSetting("name"), "after");
});
