/** Parts that a storage refuses with "slow down": what is sent again stays within one budget. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import {
  assertSame,
  bytesOf,
  put,
  read,
  rejectsWith,
} from "../../packages/server/src/storage/conformance/subject.ts";
import type { Fault } from "./fault-proxy.ts";
import { proxiedStorages } from "./storage.ts";

const MiB = 1024 * 1024;
const puts = 30;
const budgetMax = 4;

const slowDown: Fault = {
  kind: "answer",
  status: 503,
  body: Buffer.from("<Error><Code>SlowDown</Code><Message>Reduce your rate</Message></Error>"),
};

for (const [name, open] of Object.entries(proxiedStorages)) {
  test(`503 for every part: ${puts} puts send ${budgetMax} parts again at most: ${name}`, async (t) => {
    const retry = { backoffMsMin: 1, backoffMsMax: 2, budgetMax };
    const { proxy, driver, direct } = await open(t, { retry }, { partBytes: 5 * MiB });
    const bytes = bytesOf(5 * MiB + 1000);
    proxy.fault = ({ target }) => (target.includes("partNumber=") ? slowDown : undefined);
    for (let call = 0; call < puts; call += 1) {
      await rejectsWith("rate_limited", put(driver, "blob", bytes));
    }
    const parts = proxy.requests.filter((line) => line.includes("partNumber=1"));
    assert.ok(parts.length >= puts, "each put sent its part");
    assert.ok(parts.length <= puts + budgetMax, `${parts.length} requests for ${puts} parts`);
    proxy.fault = () => undefined;
    await put(driver, "blob", bytes);
    assertSame(await read(direct, "blob"), bytes);
  });
}
