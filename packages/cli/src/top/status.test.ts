import assert from "node:assert/strict";
import { test } from "node:test";
import { quantileBetween, readExposition } from "./exposition.ts";
import { statusBetween } from "./status.ts";

const before = readExposition(`
# HELP http_requests_total Requests
# TYPE http_requests_total counter
http_requests_total{route="objects",method="PUT",status="2xx"} 10
process_resident_memory_bytes{worker="1"} 1e8
storage_calls_total{storage="a \\"b\\"",operation="put",outcome="ok"} 5
http_first_byte_seconds_bucket{le="0.1"} 10
http_first_byte_seconds_bucket{le="1"} 10
http_first_byte_seconds_bucket{le="+Inf"} 10
`);
const after = readExposition(`
http_requests_total{route="objects",method="PUT",status="2xx"} 30
http_requests_total{route="objects",method="PUT",status="5xx"} 2
process_resident_memory_bytes{worker="1"} 2e8
worker_resident_memory_bytes{worker="2"} 3e8
worker_metrics_missing{worker="2"} 1
alerts_active{name="disk_low"} 1
alerts_active{name="disk_full"} 0
storage_calls_total{storage="a \\"b\\"",operation="put",outcome="ok"} 7
storage_calls_total{storage="a \\"b\\"",operation="put",outcome="unavailable"} 4
storage_breaker_open{storage="a \\"b\\""} 1
disk_free_bytes{mount="data"} 1000
disk_state{mount="data"} 2
http_first_byte_seconds_bucket{le="0.1"} 20
http_first_byte_seconds_bucket{le="1"} 30
http_first_byte_seconds_bucket{le="+Inf"} 30
`);

test("rates and states come from two looks", () => {
  const status = statusBetween(
    { atMs: 0, metrics: before, uploads: null },
    { atMs: 2_000, metrics: after, uploads: null },
  );
  assert.equal(status.requestsPerSecond, 11);
  assert.equal(status.failuresPerSecond, 1);
  assert.deepEqual(status.alerts, ["disk_low"]);
  assert.deepEqual(
    status.workers.map(({ worker, residentBytes, silent }) => [worker, residentBytes, silent]),
    [
      ["1", 2e8, false],
      ["2", 3e8, true],
    ],
  );
  const [storage] = status.storages;
  assert.equal(storage?.id, 'a "b"');
  assert.equal(storage?.state, "left alone");
  assert.equal(storage?.callsPerSecond, 3);
  assert.equal(storage?.failuresPerSecond, 2);
  assert.deepEqual(status.disks, [{ mount: "data", freeBytes: 1000, state: "full" }]);
});

test("a quantile is of what was observed in between, and none where nothing was", () => {
  const of = { name: "http_first_byte_seconds", wanted: {} };
  assert.equal(quantileBetween({ before, after }, { ...of, share: 0.5 }), 0.1);
  assert.equal(quantileBetween({ before, after }, { ...of, share: 1 }), 1);
  assert.equal(quantileBetween({ before: after, after }, { ...of, share: 0.5 }), null);
});
