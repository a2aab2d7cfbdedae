/** Conformance: access keys. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { accessKey, author, bytes, type OpenStore, withCode } from "../conformance-samples.ts";

export function accessKeyTests(open: OpenStore): void {
  test("an access key comes back as it was created", async (t) => {
    await using store = await open(t);
    const key = accessKey("AK1", { enabled: false, name: "" });
    await store.createAccessKey(key, { author });
    const found = await store.getAccessKey("AK1");
    assert.deepEqual({ ...found, sealedSecret: undefined }, { ...key, sealedSecret: undefined });
    assert.deepEqual(Buffer.from(found?.sealedSecret ?? []), Buffer.from(key.sealedSecret));
    assert.equal(await store.getAccessKey("ak1"), undefined);
    assert.equal(await store.getAccessKey("constructor"), undefined);
  });

  test("an access key whose id is taken is refused and the first stays", async (t) => {
    await using store = await open(t);
    await store.createAccessKey(accessKey("AK1", { name: "first" }), { author });
    const second = accessKey("AK1", { name: "second" });
    await assert.rejects(store.createAccessKey(second, { author }), withCode("already_exists"));
    assert.equal((await store.getAccessKey("AK1"))?.name, "first");
  });

  test("access keys are listed in order of ids", async (t) => {
    await using store = await open(t);
    assert.deepEqual(await store.listAccessKeys(), []);
    for (const id of ["b", "a", "B", "10", "9"])
      await store.createAccessKey(accessKey(id), { author });
    const ids = (await store.listAccessKeys()).map(({ id }) => id);
    assert.deepEqual(ids, ["10", "9", "B", "a", "b"]);
  });

  test("changing an access key changes what was given and nothing else", async (t) => {
    await using store = await open(t);
    await store.createAccessKey(accessKey("AK1"), { author });
    await store.changeAccessKey("AK1", { enabled: false }, { author });
    const policy = [{ buckets: ["*"], actions: ["*"] as const }];
    const pooled = Buffer.from(bytes(40, 3));
    const changed = await store.changeAccessKey(
      "AK1",
      { policy, sealedSecret: pooled },
      { author },
    );
    assert.deepEqual([changed.enabled, changed.policy, changed.name], [false, policy, "key AK1"]);
    const found = await store.getAccessKey("AK1");
    assert.deepEqual([found?.enabled, found?.policy, found?.name], [false, policy, "key AK1"]);
    assert.deepEqual(Buffer.from(found?.sealedSecret ?? []), pooled);
    await assert.rejects(
      store.changeAccessKey("absent", {}, { author }),
      withCode("key_not_found"),
    );
  });

  test("a deleted access key is gone, and is deleted once", async (t) => {
    await using store = await open(t);
    await store.createAccessKey(accessKey("AK1"), { author });
    await store.deleteAccessKey("AK1", { author });
    assert.equal(await store.getAccessKey("AK1"), undefined);
    await assert.rejects(store.deleteAccessKey("AK1", { author }), withCode("key_not_found"));
  });
}
