/** A real Prometheus reads what a real server says; rules and dashboard ask only for what there is. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { test } from "node:test";
import { alertDefinitions } from "../../packages/server/src/operations/alerts/definitions.ts";
import { describedMetrics } from "../../packages/server/src/operations/metrics-reference.ts";
import { workerMetricDefinitions } from "../../packages/server/src/operations/worker-metrics.ts";
import { objectPath, send } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { startServer } from "../harness/server-process.ts";
import { describeWhere } from "../prerequisites.ts";
import { useService } from "../storages/service.ts";

const deploy = resolve(import.meta.dirname, "../../deploy");
const rulesFile = resolve(deploy, "prometheus/roma-alerts.yml");

/** By the names under which Prometheus has them: a histogram is three. */
const seriesNames = new Set(
  describedMetrics().flatMap(({ name, kind }) =>
    kind === "histogram" ? ["bucket", "sum", "count"].map((part) => `${name}_${part}`) : [name],
  ),
);

/** Those that scraping makes by itself. */
const scraped = new Set(["up"]);

function metricsIn(expression: string): readonly string[] {
  const bare = expression
    .replaceAll(/"(?:[^"\\]|\\.)*"/g, "")
    .replaceAll(/\{[^}]*\}|\[[^\]]*\]/g, " ")
    .replaceAll(/\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/g, " ")
    .replaceAll(/\b(?:and|or|unless|offset|bool)\b/g, " ");
  return [...bare.matchAll(/(?<![\w.])([a-zA-Z_:][\w:]*)(?!\w|\s*\()/g)].map(
    ([, name = ""]) => name,
  );
}

function promtool(...args: readonly string[]): void {
  const { status, stdout, stderr } = spawnSync("promtool", args, { encoding: "utf8" });
  assert.equal(status, 0, `promtool ${args.join(" ")}\n${stdout}${stderr}`);
}

interface Panel {
  readonly title: string;
  readonly targets?: readonly { readonly expr: string }[];
}

async function dashboardExpressions(): Promise<readonly string[]> {
  const { panels } = JSON.parse(await readFile(resolve(deploy, "grafana/roma.json"), "utf8"));
  return panels.flatMap(({ targets = [] }: Panel) => targets.map(({ expr }) => expr));
}

describeWhere(["prometheus"], "with a real Prometheus", () => {
  const prometheus = useService("prometheus", { PROM_RULES: rulesFile });
  const ask = async (path: string) => {
    const answer = await fetch(`${prometheus.value("PROM_URL")}/api/v1/${path}`);
    return Object(await answer.json());
  };
  const query = async (expression: string) =>
    await ask(`query?query=${encodeURIComponent(expression)}`);

  test("it scrapes a server, whose metrics promtool has nothing to say against", async (t) => {
    const server = await startServer(t);
    for (const key of ["a", "b", "c"])
      await send(server, "PUT", objectPath(key), { body: "12345" });
    await send(server, "GET", objectPath("a"));
    await send(server, "GET", objectPath("missing"));
    const targets = [{ targets: [new URL(server.opsUrl).host] }];
    await writeFile(prometheus.value("PROM_TARGETS_FILE"), JSON.stringify(targets));

    const text = await (await fetch(`${server.opsUrl}/metrics`)).text();
    const { status, stdout, stderr } = spawnSync("promtool", ["check", "metrics"], {
      input: text,
      encoding: "utf8",
    });
    assert.deepEqual([status, stdout, stderr], [0, "", ""]);
    const shown = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name);
    const described = new Set(describedMetrics().map(({ name }) => name));
    assert.deepEqual(
      shown.filter((name) => !described.has(name ?? "")),
      [],
      "not in docs/metrics.md",
    );

    const supervised = new Set(Object.keys(workerMetricDefinitions));
    const missing = [...described].filter((name) => !supervised.has(name) && !shown.includes(name));
    assert.deepEqual(missing, [], "in docs/metrics.md, and not shown");

    const value = async (expression: string) =>
      Number((await query(expression)).data.result[0]?.value[1]);
    await eventually("it is scraped", async () => (await value("up")) === 1);
    assert.equal(await value('http_requests_total{route="objects",method="PUT",status="2xx"}'), 3);
    assert.equal(await value('http_requests_total{route="objects",method="GET",status="4xx"}'), 1);
    assert.equal(await value("upload_completed_total"), 3);
    assert.ok((await value("http_received_bytes_total")) > 15);
    assert.ok((await value("process_resident_memory_bytes")) > 1e7);
    // The canary writes as well.
    assert.ok((await value('storage_call_seconds_count{operation="put"}')) >= 3);
    const { data } = await ask("targets");
    assert.equal(data.activeTargets[0]?.lastError, "");
  });

  test("every rule is evaluated without an error", async () => {
    const rules = async () =>
      (await ask("rules")).data.groups.flatMap(({ rules }: { rules: object[] }) => rules);
    await eventually("all were evaluated", async () =>
      (await rules()).every(({ health }: { health: string }) => health !== "unknown"),
    );
    for (const { name, health, lastError } of await rules())
      assert.equal(health, "ok", `${name}: ${lastError}`);
  });

  test("every expression of the dashboard is one", async () => {
    for (const expression of await dashboardExpressions()) {
      const asked = expression.replaceAll("$__rate_interval", "1m").replaceAll("$instance", ".*");
      const { status, error } = await query(asked);
      assert.equal(status, "success", `${expression}: ${error}`);
    }
  });

  test("promtool has nothing to say against the configuration, and the rules do as their tests say", () => {
    promtool("check", "config", resolve(deploy, "prometheus/prometheus.yml"));
    promtool("check", "rules", "--lint-fatal", rulesFile);
    promtool("test", "rules", resolve(deploy, "prometheus/roma-alerts.test.yml"));
  });
});

test("rules and dashboard name only metrics that there are", async () => {
  const rules = await readFile(rulesFile, "utf8");
  const ofRules = [...rules.matchAll(/^ +expr: (\|\n(?: {10}.*\n)+|.*\n)/gm)].map(([, expr = ""]) =>
    expr.replace("|", ""),
  );
  assert.ok(ofRules.length > 15);
  const ofDashboard = await dashboardExpressions();
  assert.ok(ofDashboard.length > 30);
  for (const expression of [...ofRules, ...ofDashboard]) {
    const names = metricsIn(expression);
    assert.ok(names.length > 0, expression);
    for (const name of names)
      assert.ok(seriesNames.has(name) || scraped.has(name), `${name} in ${expression}`);
  }
});

test("the rules' list of critical conditions is that of the definitions", async () => {
  const critical = Object.entries(alertDefinitions)
    .flatMap(([name, { severity }]) => (severity === "critical" ? [name] : []))
    .sort();
  const rules = await readFile(rulesFile, "utf8");
  for (const operator of ["=~", "!~"]) {
    const [, names = ""] =
      rules.split(`alerts_active{name${operator}"`)[1]?.match(/^([^"]*)"/) ?? [];
    assert.deepEqual(names.split("|"), critical);
  }
});
