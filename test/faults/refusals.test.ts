/** A storage that refuses, or asks for less: what callers are told, and what that costs. */
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import {
  assertSame,
  bytesOf,
  calm,
  descriptorCount,
  keysOf,
  put,
  read,
  rejectsWith,
} from "../../packages/server/src/storage/conformance/subject.ts";
import { eventually, residentBytes } from "../harness/process-usage.ts";
import type { Fault } from "./fault-proxy.ts";
import { neverOpen, proxiedStorages } from "./storage.ts";

const MiB = 1024 * 1024;

const refused: Fault = {
  kind: "answer",
  status: 403,
  headers: { "content-type": "application/xml" },
  body: Buffer.concat([
    Buffer.from("<Error><Code>AccessDenied</Code><Message>"),
    Buffer.alloc(MiB, "x"),
    Buffer.from("</Message></Error>"),
  ]),
};

const slowDown: Fault = {
  kind: "answer",
  status: 503,
  body: Buffer.from("<Error><Code>SlowDown</Code><Message>Reduce your rate</Message></Error>"),
};

// One is enough, since no row of a vendor matters here: the real storage where there is one.
for (const [name, open] of Object.entries(proxiedStorages).slice(-1)) {
  test(`403 with a body of 1 MiB, 2,000 times: sockets and memory stay flat: ${name}`, async (t) => {
    const { proxy, driver } = await open(t, { breaker: neverOpen }, { connectionsMax: 16 });
    proxy.fault = () => refused;
    const refusedAtOnce = async (count: number): Promise<void> => {
      for (let done = 0; done < count; done += 20) {
        const calls = Array.from({ length: 20 }, (_, index) =>
          index % 4 === 0 ? put(driver, "blob", "short") : read(driver, "blob"),
        );
        await Promise.all(calls.map((call) => rejectsWith("unavailable", call)));
      }
    };
    await refusedAtOnce(200);
    const descriptors = descriptorCount();
    const memory = await residentBytes(process.pid);
    await refusedAtOnce(2_000);
    assert.equal(proxy.requests.length, 2_200, "each was asked, and none again");
    // Driver, proxy twice and emulator: four ends of each connection are this process's.
    const descriptorsMax = descriptors + 4 * 16;
    await eventually("few descriptors more", () => descriptorCount() <= descriptorsMax);
    const grown = (await residentBytes(process.pid)) - memory;
    t.diagnostic(`memory rose by ${Math.round(grown / MiB)} MiB`);
    // Less than a twentieth of each body, and room for a heap that was not collected.
    assert.ok(grown < 96 * MiB, `${grown} bytes more`);
    await eventually("no socket left", () => proxy.connections === 0);
  });
}

for (const [name, open] of Object.entries(proxiedStorages)) {
  describe(`a storage that asks for less: ${name}`, () => {
    test("SlowDown for two requests is outlasted: reads, short puts and parts succeed", async (t) => {
      const { proxy, driver, direct } = await open(t, {}, { partBytes: 5 * MiB });
      const short = bytesOf(10_000, 1);
      const long = bytesOf(6 * MiB, 2);
      await put(direct, "short", short);
      const slowFor = (count: number, matches: (target: string) => boolean): void => {
        let left = count;
        proxy.fault = ({ target }) => {
          if (left === 0 || !matches(target)) return undefined;
          left -= 1;
          return slowDown;
        };
      };
      slowFor(2, () => true);
      assertSame(await read(driver, "short"), short);
      slowFor(2, () => true);
      await put(driver, "again", short);
      slowFor(2, (target) => target.includes("partNumber=2"));
      await put(driver, "long", long);
      assertSame(await read(direct, "again"), short);
      assertSame(await read(direct, "long"), long);
    });

    test("SlowDown for longer is rate_limited, retries stay within their budget, and the end of it is seen at once", async (t) => {
      const retry = { backoffMsMin: 1, backoffMsMax: 2, budgetMax: 10 };
      const { proxy, driver, direct } = await open(t, { retry }, { partBytes: 5 * MiB });
      const old = bytesOf(10_000, 1);
      await put(direct, "blob", old);
      proxy.fault = () => slowDown;
      for (let call = 0; call < 10; call += 1) {
        await Promise.all(
          Array.from({ length: 10 }, () => rejectsWith("rate_limited", read(driver, "blob"))),
        );
      }
      assert.ok(proxy.requests.length <= 110, `${proxy.requests.length} requests for 100 reads`);
      await rejectsWith("rate_limited", put(driver, "blob", bytesOf(10_000, 2)));
      await rejectsWith(
        "rate_limited",
        put(driver, "blob", bytesOf(600_000, 2), { length: 600_000 }),
      );
      proxy.fault = ({ target }) => (target.includes("partNumber=1") ? slowDown : undefined);
      await rejectsWith("rate_limited", put(driver, "blob", bytesOf(6 * MiB, 2)));
      proxy.fault = () => undefined;
      assertSame(await read(driver, "blob"), old);
      await eventually("no upload left", async () => {
        const pending = direct.parts?.listPending("", { signal: calm });
        return pending !== undefined && (await Array.fromAsync(pending)).length === 0;
      });
      await put(driver, "other", old);
      assert.deepEqual(await keysOf(direct), ["blob", "other"]);
    });
  });
}
