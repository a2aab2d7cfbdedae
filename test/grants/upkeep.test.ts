/** What the server completes by itself, after a crash, is held to the grant that made it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Actor } from "../../packages/server/src/core/access.ts";
import { parseKey } from "../../packages/server/src/core/object-key.ts";
import { chunks, openCore } from "../uploads/core.ts";

const cases = [
  ["hello!", true],
  ["%PDF-1", false],
] as const;

for (const [text, isPermitted] of cases) {
  test(`left completing with ${text}: ${isPermitted ? "an object" : "nothing"}`, async (t) => {
    const core = await openCore(t, { kind: "append" });
    const use = {
      id: "ROOT/g",
      usesMax: 1,
      expiresAt: new Date(core.wallNow().getTime() + 60_000),
    };
    const holder: Actor = {
      kind: "grant",
      keyId: "ROOT",
      policy: [{ actions: ["*"], buckets: ["*"] }],
      scope: {
        bucket: "b",
        prefix: "",
        actions: ["object:write"],
        contentTypes: ["text/*"],
        use,
        context: '{"user":7}',
      },
    };
    const { signal } = new AbortController();
    const at = { bucket: "b", key: parseKey("k"), kind: "object" as const, protocol: "tus" };
    const { upload } = await core.uploads.create(holder, { ...at, length: text.length, signal });
    await core.uploads.append(holder, upload.id, {
      ...{ offset: 0, body: chunks(Buffer.from(text)), bodyLength: text.length },
      ...{ complete: "no" as const, signal },
    });
    assert.equal(await core.metadata.getGrantUses(use.id), 1);
    // As a crash leaves it: all bytes are durable, and the last word was not said.
    const now = core.wallNow();
    const lease = { holder: "crashed", now, until: now };
    const taken = await core.metadata.takeUpload(upload.id, lease);
    assert(taken !== undefined);
    const { id, fence } = taken.upload;
    const left = { phase: "completing" as const, release: true };
    await core.metadata.checkpointUpload({ id, fence }, left);
    await core.upkeep.round();
    const object = await core.metadata.headObject("b", "k");
    assert.equal(object?.attributes["grant-context"], isPermitted ? '{"user":7}' : undefined);
    assert.equal(object !== undefined, isPermitted);
    // What became nothing gives its use back.
    assert.equal(await core.metadata.getGrantUses(use.id), isPermitted ? 1 : 0);
  });
}
