/** Moments as people write them: a time of day, a date, or both. */
import { UsageError } from "./usage-error.ts";

const dayMs = 24 * 60 * 60 * 1000;
const dateTime = /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2}))?)?$/;

/**
 * `14:00` is the last one that has been, `2026-03-01` the beginning of that day, `2026-03-01 14:00` as it says: by this
 * machine's clock and zone. With a zone (`2026-03-01T14:00:00Z`) in that one.
 */
export function parseMoment(text: string, now = new Date()): Date {
  const time = /^(\d{1,2}):(\d{2})(?::(\d{2}))?$/.exec(text);
  if (time !== null) {
    const [hours, minutes, seconds] = numbers(time);
    const at = new Date(now);
    at.setHours(hours ?? 0, minutes ?? 0, seconds ?? 0, 0);
    const isTime = (hours ?? 0) < 24 && (minutes ?? 0) < 60 && (seconds ?? 0) < 60;
    if (isTime) return at > now ? new Date(at.getTime() - dayMs) : at;
  }
  const local = dateTime.exec(text);
  if (local !== null) {
    const [year = 0, month = 0, day = 0, hours = 0, minutes = 0, seconds = 0] = numbers(local);
    const at = new Date(year, month - 1, day, hours, minutes, seconds);
    if (at.getMonth() === month - 1 && at.getDate() === day && hours < 24 && minutes < 60)
      return at;
  }
  const isZoned = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})$/.test(text);
  const at = new Date(isZoned ? text : Number.NaN);
  if (!Number.isNaN(at.getTime())) return at;
  throw new UsageError(`${text} is no moment: write 14:00, 2026-03-01, or 2026-03-01T14:00:00Z`);
}

function numbers(match: RegExpExecArray): readonly number[] {
  return match.slice(1).map((part) => Number(part ?? 0));
}
