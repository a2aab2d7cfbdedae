/** `/metrics` is of all workers, whoever is asked, and never waits for one that hangs. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { noSiblings } from "../../packages/server/src/core/ports/siblings.ts";
import { MergedMetrics } from "../../packages/server/src/operations/merged-metrics.ts";
import { createMetrics } from "../../packages/server/src/operations/metrics.ts";
import { SiblingHub } from "./sibling-hub.ts";

function worker(hub: SiblingHub, name: string) {
  const metrics = createMetrics();
  const siblings = hub.join(name);
  const options = { metrics, siblings, msMax: 200 };
  return { ...metrics, merged: new MergedMetrics(options) };
}

function seriesValue(text: string, series: string): number | undefined {
  const line = text.split("\n").find((one) => one.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length + 1));
}

test("counters and histograms are summed, gauges as they say, and a process's own have its label", async () => {
  const hub = new SiblingHub(2);
  const [a, b] = [worker(hub, "0-a"), worker(hub, "1-b")];
  a.meter.count("upload_completed_total", 3);
  b.meter.count("upload_completed_total", 4);
  a.meter.observe("storage_call_seconds", 0.002, { storage: "s", operation: "put" });
  b.meter.observe("storage_call_seconds", 2, { storage: "s", operation: "put" });
  a.meter.gauge("uploads_running", 1);
  b.meter.gauge("uploads_running", 2);
  for (const { meter } of [a, b]) meter.gauge("storage_breaker_open", 1, { storage: "s" });
  for (const { merged } of [a, b]) {
    const text = await merged.text();
    assert.equal(seriesValue(text, "upload_completed_total"), 7);
    assert.equal(seriesValue(text, 'storage_call_seconds_count{storage="s",operation="put"}'), 2);
    assert.equal(
      seriesValue(text, 'storage_call_seconds_bucket{le="0.0025",storage="s",operation="put"}'),
      1,
    );
    assert.equal(seriesValue(text, "uploads_running"), 3);
    assert.equal(seriesValue(text, 'storage_breaker_open{storage="s"}'), 1);
    assert.equal(seriesValue(text, "workers_counted"), 2);
    for (const number of ["0", "1"]) {
      assert.ok(seriesValue(text, `process_resident_memory_bytes{worker="${number}"}`));
    }
    assert.doesNotMatch(text, /^worker_metrics_missing\{/m);
  }
});

test("a worker that hangs is named, its counters stay, and the answer comes in time", async () => {
  const hub = new SiblingHub(3);
  const [a, b, c] = [worker(hub, "0-a"), worker(hub, "1-b"), worker(hub, "2-c")];
  for (const { meter } of [a, b, c]) meter.count("upload_completed_total", 5);
  assert.equal(seriesValue(await a.merged.text(), "upload_completed_total"), 15);
  hub.hang("1-b");
  c.meter.count("upload_completed_total", 1);
  const began = performance.now();
  const text = await a.merged.text();
  // 200 ms are what it waits; the rest is for a busy machine.
  assert.ok(performance.now() - began < 20_000);
  assert.equal(seriesValue(text, 'worker_metrics_missing{worker="1"}'), 1);
  assert.equal(seriesValue(text, "upload_completed_total"), 16);
  assert.equal(seriesValue(text, "workers_counted"), 2);
});

test("a sum never goes back when a worker dies, whoever is asked then, a newcomer too", async () => {
  const hub = new SiblingHub(3);
  const [a, b] = [worker(hub, "0-a"), worker(hub, "1-b"), worker(hub, "2-c")];
  a.meter.count("upload_completed_total", 10);
  b.meter.count("upload_completed_total", 100);
  b.meter.gauge("uploads_running", 9);
  await a.merged.text();
  hub.kill("1-b");
  const successor = worker(hub, "1-b2");
  successor.meter.count("upload_completed_total", 1);
  for (const { merged } of [a, successor]) {
    const text = await merged.text();
    assert.equal(seriesValue(text, "upload_completed_total"), 111);
    assert.equal(seriesValue(text, "uploads_running"), 0);
  }
  hub.kill("0-a");
  assert.equal(seriesValue(await successor.merged.text(), "upload_completed_total"), 111);
});

test("of one process, those who ask at once share one answer", async () => {
  const metrics = createMetrics();
  let looks = 0;
  metrics.onCollect(() => {
    looks += 1;
  });
  const merged = new MergedMetrics({ metrics, siblings: noSiblings() });
  const [one, other] = await Promise.all([merged.text(), merged.text()]);
  assert.equal(one, other);
  assert.equal(looks, 1);
});

test("what the supervisor knows is shown, of a worker that hangs too", async () => {
  const hub = new SiblingHub(2);
  const { merged } = worker(hub, "1-a");
  hub.join("supervisor").on("supervisor-metrics", () => ({
    ...{ workersWanted: 2, deaths: { killed: 3 }, restarts: 3, recycled: 1 },
    ...{ supervisorResidentBytes: 6e7, quotaBytes: null, oomKills: 3 },
    workers: [
      { worker: 1, upSeconds: 100, residentBytes: 1e8 },
      { worker: 2, upSeconds: 2, residentBytes: 2e8 },
      { worker: 2, upSeconds: 50, residentBytes: 9e8 },
    ],
  }));
  const text = await merged.text();
  assert.equal(seriesValue(text, 'worker_deaths_total{cause="killed"}'), 3);
  assert.equal(seriesValue(text, 'worker_resident_memory_bytes{worker="2"}'), 9e8);
  assert.equal(seriesValue(text, "workers_wanted"), 2);
  assert.equal(seriesValue(text, "memory_oom_kills_total"), 3);
  assert.equal(seriesValue(text, "memory_quota_bytes"), undefined);
});
