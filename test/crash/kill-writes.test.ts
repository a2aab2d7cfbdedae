/** A kill at any step of a write leaves each object old or new, and nothing behind. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { readBlobRows } from "../harness/data-folder.ts";
import { formBody, listKeys, objectPath, postJson, put, send } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { requirePrerequisite } from "../prerequisites.ts";
import { killAtEachStep, taggedBytes } from "./kill-loop.ts";

const length = 300_000;

test("PUT into an empty storage, killed at each step, is absent or whole", async (t) => {
  if (!requirePrerequisite(t, "strace")) return;
  await killAtEachStep(t, {
    name: "put",
    keepsNothing: true,
    flags: ["--sweeper-interval", "100 ms"],
    threads: ["pool", "writer"],
    killsMin: 10,
    // A kill may leave an empty folder. Without any, the PUT has to make them all.
    prepare: async ({ server }) => {
      const keys = await listKeys(server);
      if (keys.length > 0) await postJson(server, "/v1/objects/demo?delete", { keys });
      await eventually("the storage is empty", () => readBlobRows(server.data).length === 0);
      await rm(join(server.objectsFolder, "b%"), { recursive: true, force: true });
    },
    run: async (round) => {
      const key = round.key("put");
      const bytes = taggedBytes(key, length);
      await round.change({ [key]: bytes }, () => put(round.server, key, bytes));
    },
  });
});

test("PUT over an object, killed at each step, leaves the old or the new bytes", async (t) => {
  if (!requirePrerequisite(t, "strace")) return;
  await killAtEachStep(t, {
    name: "replace",
    killsMin: 8,
    prepare: (round) =>
      round.stored(round.key("replace"), taggedBytes(`old${round.number}`, 70_000)),
    run: async (round) => {
      const key = round.key("replace");
      const bytes = taggedBytes(`new${round.number}`, length);
      await round.change({ [key]: bytes }, () => put(round.server, key, bytes));
    },
  });
});

test("a form with two files, killed at each step, leaves each of them absent or whole", async (t) => {
  if (!requirePrerequisite(t, "strace")) return;
  await killAtEachStep(t, {
    name: "form",
    killsMin: 12,
    prepare: async () => {},
    run: async (round) => {
      const keys = [round.key("first"), round.key("second")] as const;
      const files = keys.map((name) => ({ name, bytes: taggedBytes(name, 100_000) }));
      const after = Object.fromEntries(files.map(({ name, bytes }) => [name, bytes]));
      const form = formBody(files);
      await round.change(after, () =>
        send(round.server, "POST", objectPath("").slice(0, -1), form),
      );
    },
  });
});
