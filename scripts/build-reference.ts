// Writes docs/configuration.md from the option schemas and docs/metrics.md from the definitions of the metrics:
// `node scripts/build-reference.ts`.

import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { referenceMarkdown } from "../packages/server/src/config/index.ts";
import { metricsMarkdown } from "../packages/server/src/operations/metrics-reference.ts";
import { serverConfig } from "../packages/server/src/server-config.ts";

export const referenceFile = new URL("../docs/configuration.md", import.meta.url);

export const metricsFile = new URL("../docs/metrics.md", import.meta.url);

export function generateReference(): string {
  return [
    "# Configuration",
    "",
    "Generated from the option schemas by `scripts/build-reference.ts`.",
    "",
    "Sources, the later wins: the defaults, a JSON file (`--config FILE` or `ROMA_CONFIG`), the environment, flags.",
    "Every problem of a configuration is reported at once, with its path; an unknown option stops the start and",
    "names the nearest known one. `roma config check FILE` checks without starting. Sizes and times carry units:",
    '`"64 MiB"`, `"30 s"`.',
    "",
    referenceMarkdown(serverConfig).trim(),
    "",
  ].join("\n");
}

export function generateMetrics(): string {
  return [
    "# Metrics",
    "",
    "Generated from their definitions by `scripts/build-reference.ts`. `GET /metrics` of the operations listener has them",
    "in Prometheus' text format.",
    "",
    "With several workers any of them answers for all: counters and histograms are sums, and stay in the sum when a",
    "worker dies; a gauge is a sum, or the greatest where each worker says the same; what is of one process has the",
    "label `worker`. A worker that does not answer within a second is named by `worker_metrics_missing`.",
    "",
    "Labels are tables of a few words, and names of storages and mounts: never keys, buckets or addresses of clients.",
    "",
    metricsMarkdown(),
    "",
  ].join("\n");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await writeFile(referenceFile, generateReference());
  await writeFile(metricsFile, generateMetrics());
}
