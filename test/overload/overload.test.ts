/** Ten times as many clients as the server works for at once: it goes on with its work, and says no to the rest. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { basicAuthorization, send } from "../harness/http-client.ts";
import { type ServerProcess, startServer } from "../harness/server-process.ts";
import { type Load, type LoadResult, runLoad } from "./load.ts";

/** The server works for so many small requests at once, and lets as many wait. */
const places = 16;
const shareMin = 0.8;
/**
 * Others use the machine as well, and take it in one phase more than in another: each thing that is wanted must hold in
 * one round of these. A server that breaks down holds it in none.
 */
const roundsMax = 8;

test("ten times the load: 80 % of the work goes on, refusals come at once and with Retry-After, and it recovers in 5 s", async (t) => {
  const server = await startServer(t, {
    flags: [
      // Not adaptive: on a machine whose cores are taken by others the least would be in force at once.
      ...["--http-overload-work-max", `${places}`, "--http-overload-work-min", `${places}`],
      ...["--http-overload-queue-max", `${places}`],
    ],
  });
  const missing = new Set<string>();
  for (let round = 1; round <= roundsMax; round++) {
    const { before, during, after } = await overloaded(t, server, `round${round}`);
    const wanted = {
      "too much": during.refused > 0,
      "goodput during it": during.goodput >= shareMin * Math.min(before.goodput, after.goodput),
      "goodput after it": after.goodput >= shareMin * before.goodput,
      // Sooner than served, whatever the machine has to do.
      refusals: half(during.refusalMs) < Math.max(100, half(during.successMs)),
    };
    if (round === 1) for (const name of Object.keys(wanted)) missing.add(name);
    for (const [name, held] of Object.entries(wanted)) if (held) missing.delete(name);
    if (missing.size === 0) return;
  }
  assert.fail(`missed in each round: ${[...missing].join(", ")}`);
});

/** 16 clients, 160 beside whom administration is served, and 16 in the 5 s after that. */
async function overloaded(t: TestContext, server: ServerProcess, name: string) {
  const load = (phase: string, clients: number, ms: number): Promise<LoadResult> => {
    const shape: Load = {
      url: server.url,
      authorization: basicAuthorization,
      path: `/v1/objects/demo/${name}-${phase}-`,
      ...{ clients, ms, bytes: 4096, waitMsMax: 2000 },
    };
    return runLoad(shape);
  };
  const before = await load("before", places, 3000);
  const ended = new AbortController();
  const asked = askForControl(server, ended.signal);
  const during = await load("during", 10 * places, 6000);
  ended.abort();
  const control = await asked;
  const after = await load("after", places, 5000);
  t.diagnostic(
    JSON.stringify({
      goodput: [before.goodput, during.goodput, after.goodput].map(Math.round),
      refused: during.refused,
      refusalMs: Math.round(half(during.refusalMs)),
      successMs: [half(before.successMs), half(during.successMs)].map(Math.round),
      controlMs: Math.round(half(control)),
    }),
  );
  assert.deepEqual([before.odd, during.odd, after.odd], [[], [], []]);
  assert.ok(control.length > 0, "administration was asked for");
  return { before, during, after };
}

/** Administration and health, one after the other, until the signal; sorted milliseconds of the former. */
async function askForControl(server: ServerProcess, until: AbortSignal): Promise<number[]> {
  const took: number[] = [];
  while (!until.aborted) {
    const startedAt = performance.now();
    const answer = await send(server, "GET", "/v1/buckets");
    assert.equal(answer.status, 200, "administration is served");
    took.push(performance.now() - startedAt);
    const health = await send({ url: server.opsUrl }, "GET", "/livez");
    assert.equal(health.status, 200);
    await delay(100);
  }
  return took.sort((one, other) => one - other);
}

function half(values: readonly number[]): number {
  return values[Math.floor(values.length / 2)] ?? 0;
}
