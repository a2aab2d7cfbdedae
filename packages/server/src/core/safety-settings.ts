/** The settings of a bucket that guard against mistakes: what each may be. */
import { environmentPattern } from "@roma/contract";
import { OperationalError } from "./errors.ts";
import type { BucketRecord } from "./ports/metadata-store.ts";

type SafetySettings = Pick<
  BucketRecord,
  "trashMs" | "environment" | "deletesPerHour" | "retentionMs" | "bulkDeleteApprovals"
>;

const secondMs = 1000;
const dayMs = 24 * 60 * 60 * secondMs;
const trashMsMax = 3650 * dayMs;
const retentionMsMax = 36_500 * dayMs;
const deletesPerHourMax = 1_000_000_000;

/** How long deleted objects are kept where nobody says otherwise. */
export const weekMs = 7 * dayMs;

/** `invalid_request` names the setting. */
export function assertSafetySettings(settings: Partial<SafetySettings>): void {
  const { trashMs, environment, deletesPerHour, retentionMs, bulkDeleteApprovals } = settings;
  if (trashMs != null && !isWithin(trashMs, { min: secondMs, max: trashMsMax })) {
    throw wrongSetting("trash", "must be 1 s to 3650 days, or null for none");
  }
  if (retentionMs != null && !isWithin(retentionMs, { min: secondMs, max: retentionMsMax })) {
    throw wrongSetting("retention", "must be 1 s to 36500 days, or null for none");
  }
  if (environment != null && !environmentPattern.test(environment)) {
    const what = "must begin with a letter a to z, then letters, digits and dashes: 32 at most";
    throw wrongSetting("environment", what);
  }
  if (deletesPerHour != null && !isWithin(deletesPerHour, { min: 0, max: deletesPerHourMax })) {
    throw wrongSetting("deletesPerHour", `must be 0 to ${deletesPerHourMax}`);
  }
  if (bulkDeleteApprovals !== undefined && ![1, 2].includes(bulkDeleteApprovals)) {
    throw wrongSetting("bulkDeleteApprovals", "must be 1 or 2");
  }
}

function isWithin(value: number, { min, max }: { readonly min: number; readonly max: number }) {
  return Number.isSafeInteger(value) && value >= min && value <= max;
}

function wrongSetting(field: string, what: string): OperationalError {
  return new OperationalError("invalid_request", `${field} ${what}`, { context: { field } });
}
