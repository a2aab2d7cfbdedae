/** A long stream through Parse's SDK and our file controller: memory stays flat, on the newest SDK and the oldest. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { describeWhere } from "../prerequisites.ts";
import { useService } from "../storages/service.ts";
import { currentNode, oldNode, runProgram } from "./environment.ts";
import { buildController, startWithController } from "./ways.ts";

const bytes = 300_000_000;
// Of the client's peak over that of a quarter of the bytes, which the collector's timing moves by
// 60 MB. The SDK by itself holds all of them, and would rise by 225 MB.
const riseMax = 100e6;
// 115 to 205 MB were seen, and an SDK that holds all has these bytes beside what Node itself takes.
const peakMax = bytes;

describeWhere(["parse", "postgres"], "300 MB as a stream", () => {
  const postgres = useService("postgres");

  async function assertFlat(t: TestContext, node: string, sdk: string): Promise<void> {
    const { serverURL, filesURL } = await startWithController(t, postgres);
    const plug = { module: await buildController(t), options: { filesURL } };
    const settings = { sdk, plug, bytes, serverURL };
    const [line = {}] = await runProgram(node, "sdk-memory.cjs", settings);
    const { shortBytes, peakBytes, last, reports, url, node: version } = line;
    const rise = Number(peakBytes) - Number(shortBytes);
    t.diagnostic(`${version}: ${Number(peakBytes) / 1e6} MB, ${rise / 1e6} MB over a quarter`);
    assert.ok(rise < riseMax, `${rise} bytes over ${shortBytes}`);
    assert.ok(Number(peakBytes) < peakMax, `${peakBytes} bytes`);
    assert.deepEqual(last, [1, bytes, bytes]);
    assert.ok(Number(reports) > 100, `${reports} reports of progress`);
    const head = await fetch(String(url), { method: "HEAD" });
    assert.equal(head.headers.get("content-length"), `${bytes}`);
  }

  test("SDK 8", (t) => assertFlat(t, currentNode(), "parse"));

  test(`SDK 2.2.1 on ${oldNode().name}`, (t) => assertFlat(t, oldNode().program, "parse-2"));
});
