// The canary: tries a storage before it is trusted. The short form runs each time a storage is opened
// and refuses one whose settings are wrong, by name and reason. The long form is for an operator's real
// bucket or mount, which no test of ours can reach; its report compares what the driver declares with
// what was seen. What it writes lies in a folder of its own, and is gone afterwards.

import { randomUUID } from "node:crypto";
import { OperationalError } from "../../core/errors.ts";
import { type Clock, systemClock } from "../../core/ports/clock.ts";
import type { StorageCapabilities, StorageDriver } from "../../core/ports/storage-driver.ts";
import { diagnose } from "./diagnose.ts";
import type { CanaryReport, CapabilityResult, StepResult } from "./report.ts";
import { type Step, steps } from "./steps.ts";
import { type Seen, Trial } from "./trial.ts";

export interface CanaryOptions {
  readonly form: "short" | "long";
  readonly signal: AbortSignal;
  /** False where the storage is read-only: then only what reads is tried. */
  readonly mayWrite?: boolean;
  readonly clock?: Clock;
}

const tidyMsMax = 10_000;

/**
 * Tries the storage, with its layers around it. Resolves to what was found also when that is bad;
 * rejects only if the signal aborts.
 */
export async function runCanary(
  driver: StorageDriver,
  options: CanaryOptions,
): Promise<CanaryReport> {
  const { form, signal, mayWrite = true, clock = systemClock } = options;
  const trial = new Trial(driver, { signal, name: randomUUID() });
  const chosen = steps.filter((step) => form === "long" || step.short === true);
  const results: StepResult[] = [];
  const seen: Record<string, string> = {};
  const startedAt = clock.now();
  const began = clock.monotonicMs();
  let refusal: string | undefined;
  let hopeless = false;
  try {
    for (const step of chosen) {
      if (hopeless || (step.writes === true && !mayWrite)) {
        results.push({ name: step.name, outcome: "skipped", ms: 0 });
        continue;
      }
      const { result, found, failure } = await runStep(step, trial, clock);
      signal.throwIfAborted();
      results.push(result);
      Object.assign(seen, found);
      refusal ??= failure;
      hopeless = failure !== undefined && step.essential === true;
    }
  } finally {
    const left = await trial.tidy(AbortSignal.timeout(tidyMsMax));
    if (mayWrite && left.length > 0 && !hopeless) {
      const detail = `${left.length} blobs or uploads were left below ${trial.prefix}`;
      results.push({ name: "tidy up", outcome: "failed", ms: 0, detail });
      refusal ??= detail;
    }
  }
  const capabilities = form === "long" && mayWrite ? compare(driver, seen) : [];
  const less = capabilities.find(({ verdict }) => verdict === "less than declared");
  if (less !== undefined) refusal ??= `${less.name} is declared and was not seen`;
  return {
    storageId: driver.id,
    form,
    startedAt,
    ms: clock.monotonicMs() - began,
    steps: results,
    capabilities,
    ok: refusal === undefined,
    ...(refusal === undefined ? {} : { refusal }),
  };
}

/** The short form: `unavailable`, with the setting and the reason, if the storage is not to be used. */
export async function admitStorage(
  driver: StorageDriver,
  options: Omit<CanaryOptions, "form">,
): Promise<void> {
  const { ok, refusal = "" } = await runCanary(driver, { ...options, form: "short" });
  if (ok) return;
  throw new OperationalError("unavailable", `storage ${driver.id} is refused: ${refusal}`, {
    retryable: false,
    context: { storageId: driver.id },
  });
}

async function runStep(
  step: Step,
  trial: Trial,
  clock: Clock,
): Promise<{ readonly result: StepResult; readonly found: Seen; readonly failure?: string }> {
  const { name } = step;
  if (step.offered?.(trial) === false) {
    return { result: { name, outcome: "absent", ms: 0 }, found: {} };
  }
  const began = clock.monotonicMs();
  const ms = () => clock.monotonicMs() - began;
  try {
    const { seen = {}, detail = "" } = (await step.run(trial)) ?? {};
    const told = detail === "" ? {} : { detail };
    return { result: { name, outcome: "passed", ms: ms(), ...told }, found: seen };
  } catch (error) {
    const { setting, reason } = diagnose(error);
    const detail = setting === undefined ? reason : `${setting}: ${reason}`;
    const result = { name, outcome: "failed", ms: ms(), detail } as const;
    return { result, found: {}, failure: `${name}: ${detail}` };
  }
}

const flag = (value: boolean): string => (value ? "yes" : "no");

/** What each capability is declared as; those in `untried` nobody can see from outside. */
const declared: readonly (readonly [string, (driver: StorageDriver) => string])[] = [
  ["conditionalPut", ({ capabilities }) => flag(capabilities.conditionalPut)],
  ["conditionalComplete", ({ capabilities }) => flag(capabilities.conditionalComplete)],
  ["etagIsMd5", ({ capabilities }) => flag(capabilities.etagIsMd5)],
  ["listing", ({ capabilities }) => capabilities.listing],
  ["nestedKeys", ({ capabilities }) => flag(capabilities.nestedKeys !== false)],
  ["keepsMetadata", ({ capabilities }) => flag(capabilities.keepsMetadata)],
  ["keyBytesMax", ({ capabilities }) => `${capabilities.keyBytesMax} bytes`],
  ["parts", ({ parts }) => flag(parts !== undefined)],
  ["append", ({ parts }) => flag(parts?.append !== undefined)],
  ["copy", ({ copy }) => flag(copy !== undefined)],
  ["presign", ({ presign }) => flag(presign !== undefined)],
  ["durability", ({ capabilities }) => capabilities.durability],
  ["verifies", ({ capabilities }) => verifiesOf(capabilities)],
  ["metadataBytesMax", ({ capabilities }) => `${capabilities.metadataBytesMax} bytes`],
  ["putBytesMax", ({ capabilities }) => `${capabilities.putBytesMax} bytes`],
];

/** Seen values that are worse than others. */
const worse: ReadonlySet<string> = new Set(["no", "eventual"]);

function compare(driver: StorageDriver, seen: Seen): readonly CapabilityResult[] {
  return declared.map(([name, of]) => {
    const said = of(driver);
    const saw = seen[name];
    if (saw === undefined) return { name, declared: said, verdict: untriedVerdict(said) };
    const less = worse.has(saw) ? "less than declared" : "more than declared";
    return { name, declared: said, seen: saw, verdict: said === saw ? "as declared" : less };
  });
}

/** What is not offered cannot be tried, and that is what was said. */
function untriedVerdict(said: string): CapabilityResult["verdict"] {
  return said === "no" ? "as declared" : "not tried";
}

function verifiesOf({ verifies }: StorageCapabilities): string {
  return verifies.length === 0 ? "nothing" : verifies.join(", ");
}
