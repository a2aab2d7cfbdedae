import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { OneAtATime } from "../core/one-at-a-time.ts";
import { withinPatience } from "./patience.ts";
import { startServer } from "./testing.ts";

test("what takes longer than is waited for goes on, and is found by who asks again", async (t) => {
  const one = new OneAtATime();
  const gate = Promise.withResolvers<void>();
  let runs = 0;
  const work = async () => {
    runs += 1;
    await gate.promise;
    return { made: "once" };
  };
  const { port } = await startServer(
    t,
    (app) => {
      app.get("/", (request) =>
        withinPatience(
          request,
          (signal) => one.run("name", signal, () => (runs === 0 ? work() : found())),
          { waitMs: 50 },
        ),
      );
    },
    { config: { workMsMax: "10 s" } },
  );
  const found = async () => ({ made: "before" });
  const first = await fetch(`http://127.0.0.1:${port}/`);
  assert.equal(first.headers.get("retry-after"), "1");
  const { code, retryable } = (await first.json()) as Record<string, unknown>;
  assert.deepEqual([code, retryable], ["locked", true]);
  const second = await fetch(`http://127.0.0.1:${port}/`);
  assert.equal(
    ((await second.json()) as { code: string }).code,
    "locked",
    "it waits for the first",
  );
  assert.equal(runs, 1);
  gate.resolve();
  const third = await fetch(`http://127.0.0.1:${port}/`);
  assert.deepEqual(await third.json(), { made: "before" });
});

test("the time for work does not run while it is waited for", async (t) => {
  const { port } = await startServer(
    t,
    (app) => {
      app.get("/", (request) =>
        withinPatience(request, async (signal) => {
          await sleep(400);
          return { isAborted: signal.aborted };
        }),
      );
    },
    { config: { workMsMax: "100 ms" } },
  );
  const answer = await fetch(`http://127.0.0.1:${port}/`);
  assert.deepEqual(await answer.json(), { isAborted: false });
});
