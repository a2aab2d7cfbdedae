/** An early look at the conditions of a write, before its bytes: the commit judges again. */
import type { ObjectRecord, WriteConditions } from "./ports/object-records.ts";

/** The first condition that the object, as it is now, does not meet. */
export function failedCondition(
  current: ObjectRecord | undefined,
  { ifAbsent = false, ifMatch }: WriteConditions,
): "ifAbsent" | "ifMatch" | undefined {
  if (ifAbsent && current !== undefined) return "ifAbsent";
  if (ifMatch === undefined) return undefined;
  const isOne = current !== undefined && (ifMatch === "*" || ifMatch.includes(current.etag));
  return isOne ? undefined : "ifMatch";
}

/** Whether there is anything to look at. */
export function hasEarlyCondition({ ifAbsent = false, ifMatch }: WriteConditions): boolean {
  return ifAbsent || ifMatch !== undefined;
}
