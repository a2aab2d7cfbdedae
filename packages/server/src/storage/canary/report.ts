// What a canary found, and the form of it that is pasted into an issue: no secret, no address, no key
// of a user is in it.

import { formatDuration } from "../../config/index.ts";

export interface StepResult {
  readonly name: string;
  /** `absent`: the storage does not offer it, and does not say so. */
  readonly outcome: "passed" | "failed" | "absent" | "skipped";
  readonly ms: number;
  readonly detail?: string;
}

export interface CapabilityResult {
  readonly name: string;
  readonly declared: string;
  /** Absent: it cannot be tried, or was not. */
  readonly seen?: string;
  readonly verdict: "as declared" | "more than declared" | "less than declared" | "not tried";
}

export interface CanaryReport {
  readonly storageId: string;
  readonly form: "short" | "long";
  readonly startedAt: Date;
  readonly ms: number;
  readonly steps: readonly StepResult[];
  readonly capabilities: readonly CapabilityResult[];
  /** No step failed, and nothing is less than declared. */
  readonly ok: boolean;
  /** Why the storage is not to be used: the setting or the step, and the reason. */
  readonly refusal?: string;
}

/** As Markdown. `about` comes first: driver, vendor, region, versions; whoever gives it, leaves secrets out. */
export function canaryMarkdown(
  report: CanaryReport,
  about: Readonly<Record<string, string>> = {},
): string {
  const { storageId, form, startedAt, ms, ok, refusal } = report;
  const facts = {
    storage: storageId,
    ...about,
    canary: `${form}, ${startedAt.toISOString()}, ${formatDuration(Math.round(ms))}`,
    result: ok ? "passed" : `failed${refusal === undefined ? "" : `: ${refusal}`}`,
  };
  const steps = report.steps.map(({ name, outcome, ms: stepMs, detail = "" }) => [
    name,
    outcome === "failed" ? "**failed**" : outcome,
    outcome === "skipped" ? "" : `${Math.round(stepMs)} ms`,
    detail,
  ]);
  const capabilities = report.capabilities.map(({ name, declared, seen = "", verdict }) => [
    name,
    declared,
    seen,
    verdict === "less than declared" ? `**${verdict}**` : verdict,
  ]);
  return [
    `## Storage test: ${ok ? "passed" : "failed"}`,
    Object.entries(facts)
      .map(([name, value]) => `- ${name}: ${cell(value)}`)
      .join("\n"),
    table(["Step", "Outcome", "Time", "Detail"], steps),
    ...(capabilities.length === 0
      ? []
      : [table(["Capability", "Declared", "Seen", "Verdict"], capabilities)]),
    "",
  ].join("\n\n");
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(" | ")} |`;
  return [line(head), `|${head.map(() => "---").join("|")}|`, ...rows.map(line)].join("\n");
}

function cell(text: string): string {
  return text.replaceAll(/\s+/g, " ").replaceAll("|", "\\|");
}
