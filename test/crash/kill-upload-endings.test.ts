/** A kill at any step of an upload's end leaves it ended or not: never half, and nothing in the storage. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { send } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import type { ServerProcess } from "../harness/server-process.ts";
import { requirePrerequisite } from "../prerequisites.ts";
import { createPartial, headTus, offsetOf, offsetWhenFree, postTus } from "../uploads/tus-wire.ts";
import { killAtEachStep, type Round, TooLate, taggedBytes } from "./kill-loop.ts";
import {
  assertOnlyObjects,
  atOnce,
  scenarioDefaults,
  terminateAll,
  uploadOfRound,
} from "./kill-uploads.ts";

describe("ends of resumable uploads, killed at each step", atOnce, () => {
  test("a termination is complete once it was acknowledged or seen", async (t) => {
    if (!requirePrerequisite(t, "strace")) return;
    const upload = uploadOfRound(600_000);
    await killAtEachStep(t, {
      name: "terminate",
      ...scenarioDefaults,
      killsMin: 5,
      prepare: (round) => upload.begin(round, 200_000),
      run: (round) => terminateAll(round.server),
      recover: async (round) => {
        const { path } = upload.get();
        const offset = await offsetWhenFree(round.server, path);
        assert.ok(offset === undefined || offset === 200_000, `HEAD told ${offset}`);
        await terminateAll(round.server);
        await assertOnlyObjects(round.server);
        assert.equal(await offsetOf(round.server, path), undefined);
      },
    });
  });

  test("an upload that expires is gone, with its bytes and its reservation", async (t) => {
    if (!requirePrerequisite(t, "strace")) return;
    const upload = uploadOfRound(600_000);
    let expirySeconds = 3;
    let wasSeenGone = false;
    await killAtEachStep(t, {
      name: "expire",
      ...scenarioDefaults,
      // Each round waits for it.
      stride: 30,
      killsMin: 5,
      prepare: async (round) => {
        wasSeenGone = false;
        await setExpiry(round.server, `${expirySeconds} s`);
        await upload.begin(round, 200_000);
      },
      run: async ({ server }) => {
        const { path } = upload.get();
        const offset = await offsetOf(server, path);
        if (offset === undefined) {
          expirySeconds += 1;
          throw new TooLate("it had expired before the tracer was there");
        }
        assert.equal(offset, 200_000);
        await eventually("it expires", async () => {
          if (!server.running) throw new Error("killed");
          return (await headTus(server, path)).status === 404;
        });
        wasSeenGone = true;
        await assertOnlyObjects(server);
      },
      recover: async ({ server }) => {
        const { path } = upload.get();
        const isGone = async () => (await offsetOf(server, path)) === undefined;
        if (wasSeenGone) assert.ok(await isGone(), "it stays gone");
        // The kill may have come at what the server does by itself while it waits.
        else await eventually("it expires all the same", isGone);
        await assertOnlyObjects(server);
      },
    });
  });

  test("a concatenation is absent or whole, and its partials stay", async (t) => {
    if (!requirePrerequisite(t, "strace")) return;
    let partials: readonly { readonly path: string; readonly bytes: Buffer }[] = [];
    const concatenate = async (round: Round): Promise<void> => {
      const key = round.key("joined");
      const whole = Buffer.concat(partials.map(({ bytes }) => bytes));
      const headers = { "upload-concat": `final;${partials.map(({ path }) => path).join(" ")}` };
      await round.change({ [key]: whole }, () => postTus(round.server, { key, headers }));
    };
    await killAtEachStep(t, {
      name: "concatenate",
      ...scenarioDefaults,
      killsMin: 10,
      prepare: async (round) => {
        const all = [round.key("first"), round.key("second")].map((tag, index) =>
          taggedBytes(tag, 200_000 + index),
        );
        partials = await Promise.all(
          all.map(async (bytes) => ({ bytes, path: await createPartial(round.server, bytes) })),
        );
      },
      run: concatenate,
      recover: async (round) => {
        for (const { path, bytes } of partials) {
          assert.equal(await offsetOf(round.server, path), bytes.length, "a partial is there");
        }
        await concatenate(round);
        await terminateAll(round.server);
        await assertOnlyObjects(round.server);
      },
    });
  });
});

async function setExpiry(server: ServerProcess, uploadExpiry: string): Promise<void> {
  const answer = await send(server, "PATCH", "/v1/buckets/demo", {
    body: JSON.stringify({ uploadExpiry }),
  });
  assert.equal(answer.status, 200, answer.body.toString());
}
