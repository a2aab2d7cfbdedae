/** How long a client gives a request (`Roma-Timeout`), and what of that is kept for the answer. */
import { OperationalError } from "../core/errors.ts";

/** The header's name, in lower case. */
export const timeoutHeader = "roma-timeout";

const msMax = 24 * 60 * 60 * 1000;
const pattern = /^(\d{1,9}(?:\.\d{1,3})?) ?(ms|s|min)?$/;
const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, min: 60_000 };

/**
 * Milliseconds; without a unit they are meant. `invalid_request` that names the header if it is anything else
 * than one duration from 1 ms to 24 h.
 */
export function parseTimeLimit(value: string): number {
  const [, number = "", unit = "ms"] = pattern.exec(value.trim()) ?? [];
  const ms = Number(number) * (unitMs[unit] ?? 0);
  if (number !== "" && ms >= 1 && ms <= msMax) return ms;
  throw new OperationalError(
    "invalid_request",
    "Roma-Timeout must be milliseconds, or a number with ms, s or min, from 1 ms to 24 h",
    { context: { header: "Roma-Timeout" } },
  );
}

/** Kept of a limit, so that the answer arrives within it: a tenth, from 5 to 500 ms. */
export function answerMarginMs(limitMs: number): number {
  return Math.min(500, Math.max(5, limitMs / 10));
}
