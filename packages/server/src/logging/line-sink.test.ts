import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { LineSink } from "./line-sink.ts";
import type { LineTarget } from "./line-target.ts";

/** Takes nothing until it is repaired; keeps what it took. */
class Failing implements LineTarget {
  readonly writeBytesMax = 1000;
  readonly written: string[] = [];
  attempts = 0;
  isBroken = true;
  readonly reasonOf = () => "full" as const;
  async write(bytes: Buffer): Promise<void> {
    this.attempts += 1;
    if (this.isBroken) throw new Error("no room");
    this.written.push(String(bytes));
  }
  writeAtExit(): void {}
  async close(): Promise<void> {}
}

test("what is lost over several attempts is said once, as a whole, and the place works from then on", async () => {
  const target = new Failing();
  const events: string[] = [];
  let dropped = 0;
  const sink = new LineSink({
    ...{ name: "file", target, bytesMax: 10_000, retryMs: 1 },
    notice: (lines) => `lost ${JSON.stringify(lines)}`,
    onFailure: (reason) => events.push(`fails: ${reason}`),
    onRecovery: () => events.push(`works: ${target.written.length}`),
    onDrop: (_reason, lines) => {
      dropped += lines;
    },
  });
  let lost = 0;
  for (let attempts = 0; attempts < 5; attempts += 1) {
    while (target.attempts === attempts) {
      sink.write(`${lost}\n`);
      lost += 1;
      await delay(2);
    }
  }
  assert.equal(dropped, lost, "each line is counted once, and nothing else is");
  target.isBroken = false;
  for (let written = lost; target.written.length === 0; written += 1) {
    sink.write(`${written}\n`);
    await delay(2);
  }
  await sink.close(60_000);
  const [notice, first] = target.written.join("").split("\n");
  assert.equal(notice, `lost ${JSON.stringify({ full: dropped })}`);
  assert.equal(first, `${dropped}`);
  assert.deepEqual(events, ["fails: full", "works: 1"]);
});
