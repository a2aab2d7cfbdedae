/** Moments as people type them. */
import { UsageError } from "./usage-error.ts";

const unitMs: Readonly<Record<string, number>> = {
  s: 1_000,
  min: 60_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  days: 86_400_000,
};

/** `2 h` ago; `14:00` today, by the local time; `2026-11-30`, its first moment there; or an instant of RFC 3339. */
export function parseMoment(option: string, text: string, now = new Date()): Date {
  const ago = /^(\d+)\s*([a-z]+)$/.exec(text);
  const ms = unitMs[ago?.[2] ?? ""];
  if (ago !== null && ms !== undefined) return new Date(now.getTime() - Number(ago[1]) * ms);
  const time = /^(\d{1,2}):(\d\d)(?::(\d\d))?$/.exec(text);
  if (time !== null) {
    const [hours, minutes, seconds] = [time[1], time[2], time[3] ?? "0"].map(Number);
    const at = new Date(now);
    at.setHours(hours ?? 0, minutes, seconds, 0);
    if (at.getHours() === hours && at.getMinutes() === minutes) return at;
  }
  const day = /^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00:00` : text;
  const at = new Date(/^\d{4}-\d\d-\d\d[T ]\d\d:\d\d/.test(day) ? day.replace(" ", "T") : NaN);
  if (!Number.isNaN(at.getTime())) return at;
  throw new UsageError(`${option} ${text}: write 2h, 14:00, 2026-11-30 or 2026-11-30T14:00:00Z`);
}
