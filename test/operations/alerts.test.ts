/** Alerts reach people once, by a real web server and a real mail server, from whichever worker leads. */
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { Clock } from "../../packages/server/src/core/ports/clock.ts";
import { silentLog } from "../../packages/server/src/core/ports/log.ts";
import { noSiblings, type Siblings } from "../../packages/server/src/core/ports/siblings.ts";
import { sendTestAlert } from "../../packages/server/src/index.ts";
import { AlertCenter } from "../../packages/server/src/operations/alerts/alert-center.ts";
import { Channel } from "../../packages/server/src/operations/alerts/channel.ts";
import { watchClock } from "../../packages/server/src/operations/alerts/clock-watch.ts";
import { meteredAlerts } from "../../packages/server/src/operations/alerts/metered-alerts.ts";
import { webhook } from "../../packages/server/src/operations/alerts/webhook.ts";
import { watchWorkers } from "../../packages/server/src/operations/alerts/worker-watch.ts";
import { createMetrics } from "../../packages/server/src/operations/metrics.ts";
import { cleanUp } from "../harness/cleanup.ts";
import { send } from "../harness/http-client.ts";
import { eventually, readMetric } from "../harness/process-usage.ts";
import { startServer } from "../harness/server-process.ts";
import { describeWhere } from "../prerequisites.ts";
import { useService } from "../storages/service.ts";
import { SiblingHub } from "./sibling-hub.ts";

interface Received {
  readonly status: string;
  readonly name: string;
  readonly id: string;
  readonly message: string;
  readonly labels: Readonly<Record<string, unknown>>;
  readonly fields: Readonly<Record<string, unknown>>;
}

async function receiver(t: TestContext, statusOf: (index: number) => number = () => 204) {
  const received: Received[] = [];
  let requests = 0;
  const server = createServer(async (request: IncomingMessage, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const status = statusOf(requests++);
    if (status < 300) received.push(JSON.parse(Buffer.concat(chunks).toString()));
    response.writeHead(status).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanUp(t, () => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook?token=hidden`;
  return { url, received, requests: () => requests };
}

/** Moved by hand. */
function handClock(): Clock & { ms: number } {
  return {
    ms: 0,
    now() {
      return new Date(1_800_000_000_000 + this.ms);
    },
    monotonicMs() {
      return this.ms;
    },
  };
}

function center(
  t: TestContext,
  {
    url,
    siblings = noSiblings(),
    clock = handClock(),
    repeatMs = 60_000,
  }: {
    readonly repeatMs?: number;
    readonly url: string;
    readonly siblings?: Siblings;
    readonly clock?: Clock;
  },
) {
  const { meter, registry } = createMetrics();
  const channel = new Channel({
    sender: webhook(url),
    log: silentLog,
    meter,
    // Whoever did not answer in time is told twice, and this process may stand still between the two.
    msMax: 120_000,
    waitMs: 5,
  });
  const times = { repeatMs, settleMs: 10_000, tickMs: 5 };
  const about = () => ({ server: "http://roma.test", environment: "staging" });
  const alerts = new AlertCenter({
    siblings,
    clock,
    log: silentLog,
    meter,
    channels: [channel],
    about,
    ...times,
  });
  cleanUp(t, () => alerts[Symbol.asyncDispose]());
  return { alerts, meter, registry };
}

const summary = ({ status, name, labels }: Received) => [status, name, labels];

test("one message when it begins, one each repeat, one when it is over; flapping is one alert", async (t) => {
  const { url, received } = await receiver(t);
  const clock = handClock();
  const { alerts, registry } = center(t, { url, clock });
  for (let times = 0; times < 5; times++)
    alerts.raise("disk_low", { mount: "/data", free: times }, "2 GiB free");
  alerts.raise("disk_low", { mount: "/logs" }, "1 GiB free");
  await eventually("two are told", () => received.length === 2);
  clock.ms += 5_000;
  alerts.clear("disk_low", { mount: "/logs" });
  clock.ms += 5_000;
  alerts.raise("disk_low", { mount: "/logs" }, "1 GiB free");
  clock.ms += 55_000;
  await eventually("both are told again", () => received.length === 4);
  alerts.clear("disk_low");
  assert.match(await registry.metrics(), /alerts_active\{name="disk_low"\} 0/);
  await new Promise((resolve) => setTimeout(resolve, 30));
  clock.ms += 10_001;
  await eventually("both are over", () => received.length === 6);
  const [first] = received;
  assert.equal(first?.message, "2 GiB free");
  assert.deepEqual(first?.fields, { free: 0 });
  assert.deepEqual(received.map(summary), [
    ["firing", "disk_low", { mount: "/data" }],
    ["firing", "disk_low", { mount: "/logs" }],
    ["firing", "disk_low", { mount: "/data" }],
    ["firing", "disk_low", { mount: "/logs" }],
    ["resolved", "disk_low", { mount: "/data" }],
    ["resolved", "disk_low", { mount: "/logs" }],
  ]);
  assert.equal(new Set(received.map(({ id }) => id)).size, 2);
});

test("three workers with one condition send one message, and another leader goes on without a second", async (t) => {
  const { url, received } = await receiver(t);
  const hub = new SiblingHub(3);
  const clock = handClock();
  const workers = ["a", "b", "c"].map((name) =>
    center(t, { url, clock, siblings: hub.join(name), repeatMs: 600_000 }),
  );
  for (const { alerts } of workers)
    alerts.raise("storage_unavailable", { storage: "oss" }, "no answer");
  workers[2]?.alerts.raise("read_only", {}, "environments disagree");
  await eventually("two are told", () => received.length === 2);
  hub.kill("a");
  await workers[0]?.alerts[Symbol.asyncDispose]();
  clock.ms += 5_000;
  await new Promise((resolve) => setTimeout(resolve, 50));
  workers[1]?.alerts.clear("storage_unavailable", { storage: "oss" });
  clock.ms += 20_000;
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(received.length, 2, "c still says it");
  workers[2]?.alerts.clear("storage_unavailable", { storage: "oss" });
  // Of the dead worker's own word the others know until it was silent for long.
  await eventually("its end is told", () => {
    clock.ms += 1_000;
    return received.some(({ status }) => status === "resolved");
  });
  assert.deepEqual(received.map(({ status, name }) => `${status} ${name}`).sort(), [
    "firing read_only",
    "firing storage_unavailable",
    "resolved storage_unavailable",
  ]);
});

test("what was sent is known after a restart, and its end is told then", async (t) => {
  const { url, received } = await receiver(t);
  const clock = handClock();
  const kept = new Map<string, string>();
  const memory = {
    getSetting: async (name: string) => kept.get(name),
    putSetting: async (name: string, value: string) => void kept.set(name, value),
  };
  const first = center(t, { url, clock });
  await first.alerts.remember(memory);
  first.alerts.raise("disk_full", { mount: "/data" }, "no room");
  await eventually("it is told and kept", () => received.length === 1 && kept.size === 1);
  await first.alerts[Symbol.asyncDispose]();
  clock.ms += 5_000;
  const second = center(t, { url, clock });
  await second.alerts.remember(memory);
  second.alerts.raise("disk_full", { mount: "/data" }, "no room");
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(received.length, 1);
  second.alerts.clear("disk_full");
  await new Promise((resolve) => setTimeout(resolve, 30));
  clock.ms += 10_001;
  await eventually("its end is told", () => received.length === 2);
  assert.deepEqual(
    received.map(({ status, id }) => [status, id]),
    [
      ["firing", received[0]?.id],
      ["resolved", received[0]?.id],
    ],
  );
});

test("a receiver that fails gets it again, and one that is gone hurts nothing", async (t) => {
  const { url, received, requests } = await receiver(t, (index) => (index < 2 ? 500 : 204));
  const { alerts, registry } = center(t, { url });
  alerts.raise("read_only", {}, "environments disagree");
  await eventually("it is told", () => received.length === 1);
  assert.equal(requests(), 3);
  await eventually("it is counted", async () =>
    (await registry.metrics()).includes('alerts_sent_total{channel="webhook",outcome="ok"} 1'),
  );
  const gone = center(t, { url: "http://127.0.0.1:9/" });
  gone.alerts.raise("read_only", {}, "environments disagree");
  await eventually("it is counted", async () =>
    (await gone.registry.metrics()).includes(
      'alerts_sent_total{channel="webhook",outcome="failed"} 1',
    ),
  );
});

test("secrets in fields and addresses are not sent on", async (t) => {
  const { url, received } = await receiver(t);
  const { alerts } = center(t, { url });
  const fields = {
    secretAccessKey: "hidden",
    token: "hidden",
    host: "https://user:hidden@oss.example/b?Signature=hidden",
  };
  alerts.raise(
    "something_new",
    fields,
    "no answer of https://user:hidden@oss.example/b?x-sig=hidden\nBcc: all@example.com",
  );
  await eventually("it is told", () => received.length === 1);
  const text = JSON.stringify(received);
  assert.doesNotMatch(text, /hidden/);
  assert.match(text, /no answer of https:\/\/oss\.example\/b/);
  assert.doesNotMatch(text, /\\n/);
});

test("what is counted already raises and clears", async (t) => {
  const { url, received } = await receiver(t);
  const { alerts, meter } = center(t, { url });
  const heard = meteredAlerts(meter, alerts);
  heard.gauge("storage_refused", 1, { storage: "s" });
  heard.gauge("storage_refused", 1, { storage: "s" });
  heard.gauge("storage_refused", -1, { storage: "s" });
  await eventually("it is told", () => received.length === 1);
  assert.equal(alerts.active.length, 1);
  heard.gauge("storage_refused", -1, { storage: "s" });
  assert.equal(alerts.active.length, 0);
});

test("roma alerts test sends one message, and says what came of it", async (t) => {
  const { url, received } = await receiver(t);
  const answers = await sendTestAlert(["--alerts-webhook", url]);
  assert.deepEqual(answers, [{ channel: "webhook" }]);
  assert.deepEqual(received.map(summary), [["firing", "alert_test", {}]]);
  const [gone] = await sendTestAlert(["--alerts-webhook", "http://127.0.0.1:9/?token=hidden"]);
  assert.match(gone?.failure ?? "", /\S/);
  assert.doesNotMatch(gone?.failure ?? "", /hidden/);
  assert.deepEqual(await sendTestAlert([]), []);
});

test("a time that was set is told, and dropped log lines; single refusals are not", async (t) => {
  const { url } = await receiver(t);
  const clock = handClock();
  const { alerts, meter } = center(t, { url, clock });
  const heard = meteredAlerts(meter, alerts, clock);
  const refuse = (count: number) =>
    heard.count("http_overload_refused_total", count, { class: "bulk", reason: "queue" });
  refuse(99);
  clock.ms += 61_000;
  refuse(99);
  assert.equal(alerts.active.length, 0);
  refuse(1);
  heard.count("log_lines_dropped_total", 1, { sink: "stdout", reason: "full" });
  assert.deepEqual(
    alerts.active.map(({ name }) => name),
    ["overload", "log_lines_dropped"],
  );
  let wallMs = 0;
  const watch = watchClock({
    alerts,
    clock: { now: () => new Date(wallMs), monotonicMs: () => 0 },
    intervalMs: 5,
  });
  cleanUp(t, () => watch[Symbol.dispose]());
  wallMs -= 3_600_000;
  await eventually("it is told", () => alerts.active.some(({ name }) => name === "clock_jumped"));
  assert.equal(alerts.active.at(-1)?.message, "the system's time was set back by 3600 s");
});

test("deaths that the supervisor counts are told, and many of them as a loop", async (t) => {
  const { url, received } = await receiver(t);
  const hub = new SiblingHub(1);
  const clock = handClock();
  const siblings = hub.join("1-a");
  let killed = 7;
  hub.join("supervisor").on("supervisor-metrics", () => ({ deaths: { killed } }));
  const { alerts } = center(t, { url, siblings, clock });
  const watch = watchWorkers({ siblings, alerts, clock, intervalMs: 5 });
  cleanUp(t, () => watch[Symbol.dispose]());
  // The process is young: whoever saw that death may be the one that died.
  await eventually("one is told", () => received.length === 1);
  killed += 2;
  await eventually("a loop is told", () => received.length === 2);
  assert.deepEqual(
    received.map(({ name }) => name),
    ["worker_died", "worker_crash_loop"],
  );
  clock.ms += 6 * 60_000;
  await eventually("it is over", () =>
    alerts.active.every(({ name }) => name !== "worker_crash_loop"),
  );
});

describeWhere(["aiosmtpd"], "with a real mail server", () => {
  const smtp = useService("smtp");

  test("a server whose deletes reach the cap mails and posts it once", async (t) => {
    const { url, received } = await receiver(t);
    const flags = ["--alerts-webhook", url, "--alerts-smtp", smtp.value("SMTP_URL")];
    const addresses = [
      "--alerts-email-from",
      "roma@example.com",
      "--alerts-email-to",
      "ops@example.com,b@example.com",
    ];
    const server = await startServer(t, {
      flags: [...flags, ...addresses, "--environment", "staging"],
    });
    const call = async (method: string, path: string, body = "") =>
      await send(server, method, `/v1/${path}`, { body });
    await call("PUT", "buckets/capped", JSON.stringify({ deletesPerHour: 1 }));
    for (const key of ["a", "b", "c"]) await call("PUT", `objects/capped/${key}`, key);
    for (const key of ["a", "b", "c"]) await call("DELETE", `objects/capped/${key}`);
    const folder = join(smtp.value("SMTP_MAILDIR"), "new");
    await eventually("it is posted and mailed", async () => {
      const mails = await readdir(folder).catch(() => []);
      return received.length === 1 && mails.length === 1;
    });
    assert.deepEqual(received.map(summary), [
      ["firing", "delete_cap_reached", { bucket: "capped" }],
    ]);
    const [name = ""] = await readdir(folder);
    const mail = await readFile(join(folder, name), "utf8");
    assert.match(mail, /^Subject: \[CRITICAL\] roma staging: delete_cap_reached, bucket capped$/m);
    assert.match(mail, /^X-RcptTo: ops@example\.com, b@example\.com$/m);
    assert.match(mail, /further deletes are(?:=\n)? refused/);
    assert.match(mail, /docs\/operations\.md/);
    assert.equal(await readMetric(server.opsUrl, "alerts_active"), 1);
    assert.ok(server.log.some(({ text }) => text.includes('"alert":"delete_cap_reached"')));
    assert.ok(
      !server.log.some(({ text }) => text.includes("hidden")),
      "the address of the webhook is a secret",
    );
  });
});
