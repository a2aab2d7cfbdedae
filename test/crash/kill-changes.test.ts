/** A kill at any step of a delete, a sweep, a copy or a move leaves the state before or after it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { readBlobRows } from "../harness/data-folder.ts";
import { objectPath, postJson, send } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { requirePrerequisite } from "../prerequisites.ts";
import { killAtEachStep, taggedBytes } from "./kill-loop.ts";

const address = (key: string) => ({ bucket: "demo", key });

test("DELETE and the sweep after it, killed at each step, leave all or nothing", async (t) => {
  if (!requirePrerequisite(t, "strace")) return;
  await killAtEachStep(t, {
    name: "delete",
    flags: ["--sweeper-interval", "100 ms"],
    threads: ["pool", "writer"],
    killsMin: 6,
    prepare: (round) => round.stored(round.key("delete"), taggedBytes(`${round.number}`, 50_000)),
    run: async (round) => {
      const { server } = round;
      const key = round.key("delete");
      await round.change({ [key]: undefined }, () => send(server, "DELETE", objectPath(key)));
      await eventually("the bytes are removed", () => {
        if (!server.running) throw new Error("killed in the sweep");
        return readBlobRows(server.data).every(({ references }) => references > 0);
      });
    },
  });
});

test("a copy, killed at each step, is absent or whole", async (t) => {
  if (!requirePrerequisite(t, "strace")) return;
  await killAtEachStep(t, {
    name: "copy",
    killsMin: 3,
    prepare: (round) => round.stored(round.key("from"), taggedBytes(`${round.number}`, 50_000)),
    run: async (round) => {
      const [from, to] = [round.key("from"), round.key("to")];
      const bytes = taggedBytes(`${round.number}`, 50_000);
      const body = { from: address(from), to: address(to) };
      await round.change({ [to]: bytes }, () => postJson(round.server, "/v1/copy", body));
    },
  });
});

test("a move, killed at each step, leaves the object under one of its two names", async (t) => {
  if (!requirePrerequisite(t, "strace")) return;
  await killAtEachStep(t, {
    name: "move",
    killsMin: 3,
    prepare: (round) => round.stored(round.key("from"), taggedBytes(`${round.number}`, 50_000)),
    run: async (round) => {
      const [from, to] = [round.key("from"), round.key("to")];
      const bytes = taggedBytes(`${round.number}`, 50_000);
      const body = { from: address(from), to: address(to) };
      await round.change({ [from]: undefined, [to]: bytes }, () =>
        postJson(round.server, "/v1/move", body),
      );
    },
    check: (found, round) => {
      const present = ["from", "to"].filter((name) => found.get(round.key(name)) !== undefined);
      assert.equal(present.length, 1, `present: ${present.join(" and ")}`);
    },
  });
});
