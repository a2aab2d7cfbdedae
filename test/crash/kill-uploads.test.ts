/** A kill at any step of a resumable upload costs no more than the bytes that were under way. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { requirePrerequisite } from "../prerequisites.ts";
import { createTus, listUploads, postTus } from "../uploads/tus-wire.ts";
import { killAtEachStep, type Round, taggedBytes } from "./kill-loop.ts";
import {
  assertOnlyObjects,
  atOnce,
  RoundUpload,
  scenarioDefaults,
  terminateAll,
  uploadOfRound,
} from "./kill-uploads.ts";

const length = 600_000;
describe("resumable uploads, killed at each step", atOnce, () => {
  test("a creation is there and usable, or leaves nothing", async (t) => {
    if (!requirePrerequisite(t, "strace")) return;
    await killAtEachStep(t, {
      name: "create",
      ...scenarioDefaults,
      killsMin: 2,
      prepare: async () => {},
      run: async (round) => {
        await createTus(round.server, { length, key: round.key("upload") });
      },
      recover: async (round) => {
        const uploads = await listUploads(round.server);
        assert.ok(uploads.length <= 1, "one creation makes one upload");
        for (const { id } of uploads) {
          const key = round.key("upload");
          const path = `/tus/demo/${String(id)}`;
          const upload = new RoundUpload(round, { path, key, bytes: taggedBytes(key, length) });
          await upload.resume();
        }
        await terminateAll(round.server);
        await assertOnlyObjects(round.server);
      },
    });
  });

  test("a creation with all bytes is absent, resumable or whole", async (t) => {
    if (!requirePrerequisite(t, "strace")) return;
    const bytesOf = (round: Round) => taggedBytes(round.key("whole"), 50_000);
    await killAtEachStep(t, {
      name: "create-with-upload",
      ...scenarioDefaults,
      killsMin: 7,
      prepare: async () => {},
      run: async (round) => {
        const [key, bytes] = [round.key("whole"), bytesOf(round)];
        await round.change({ [key]: bytes }, () =>
          postTus(round.server, { length: bytes.length, key, body: bytes }),
        );
      },
      recover: async (round) => {
        for (const { id } of await listUploads(round.server)) {
          const [key, bytes] = [round.key("whole"), bytesOf(round)];
          await new RoundUpload(round, { path: `/tus/demo/${String(id)}`, key, bytes }).resume();
        }
        await terminateAll(round.server);
        await assertOnlyObjects(round.server);
      },
    });
  });

  test("an append keeps every acknowledged byte", async (t) => {
    if (!requirePrerequisite(t, "strace")) return;
    const upload = uploadOfRound(length);
    await killAtEachStep(t, {
      name: "append",
      ...scenarioDefaults,
      killsMin: 7,
      prepare: (round) => upload.begin(round, 200_000),
      run: async () => upload.get().append(400_000),
      recover: async (round) => {
        await upload.get().resume();
        await terminateAll(round.server);
        await assertOnlyObjects(round.server);
      },
    });
  });

  test("a last append becomes the whole object", async (t) => {
    if (!requirePrerequisite(t, "strace")) return;
    const upload = uploadOfRound(length);
    await killAtEachStep(t, {
      name: "final-append",
      ...scenarioDefaults,
      killsMin: 12,
      prepare: (round) => upload.begin(round, 400_000),
      run: async () => upload.get().append(length),
      recover: async (round) => {
        await upload.get().resume();
        await terminateAll(round.server);
        await assertOnlyObjects(round.server);
      },
    });
  });
});
