/**
 * Sizes and times with units, as people write them: `"64 MiB"`, `"15 min"`. Parsing is exact: the
 * result is a whole number of bytes or milliseconds, or `undefined`.
 */

const byteUnits: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  byte: 1,
  bytes: 1,
  kib: 1024,
  mib: 1024 ** 2,
  gib: 1024 ** 3,
  tib: 1024 ** 4,
  kb: 1000,
  mb: 1000 ** 2,
  gb: 1000 ** 3,
  tb: 1000 ** 4,
};

const durationUnits: Readonly<Record<string, number>> = {
  "": 1,
  ms: 1,
  s: 1000,
  sec: 1000,
  second: 1000,
  seconds: 1000,
  min: 60_000,
  minute: 60_000,
  minutes: 60_000,
  h: 3_600_000,
  hour: 3_600_000,
  hours: 3_600_000,
  d: 86_400_000,
  day: 86_400_000,
  days: 86_400_000,
};

/** Units for printing, largest first. */
const byteNames = [
  ["TiB", 1024 ** 4],
  ["GiB", 1024 ** 3],
  ["MiB", 1024 ** 2],
  ["KiB", 1024],
] as const;

const durationNames = [
  ["days", 86_400_000],
  ["h", 3_600_000],
  ["min", 60_000],
  ["s", 1000],
] as const;

const amountPattern = /^(\d{1,16})(?:\.(\d{1,9}))? {0,2}([a-z]{0,7})$/;

function parseAmount(
  text: string | number,
  units: Readonly<Record<string, number>>,
): number | undefined {
  if (typeof text === "number") {
    return Number.isSafeInteger(text) && text >= 0 ? text : undefined;
  }
  if (text.length > 40) return undefined;
  const match = amountPattern.exec(text.trim().toLowerCase());
  if (match === null) return undefined;
  const [, whole = "", fraction = "", unit = ""] = match;
  const factor = Object.hasOwn(units, unit) ? units[unit] : undefined;
  if (factor === undefined) return undefined;
  // The fraction is scaled as an integer, so that "0.1 GB" is exactly 100,000,000.
  const scaled = fraction === "" ? 0 : (Number(fraction) * factor) / 10 ** fraction.length;
  const amount = Number(whole) * factor + scaled;
  return Number.isSafeInteger(amount) ? amount : undefined;
}

/** `"64 MiB"`, `"1.5GB"`, `"4096"` or a number → bytes; `undefined` if it is none of these. */
export function parseBytes(text: string | number): number | undefined {
  return parseAmount(text, byteUnits);
}

/** `"30 s"`, `"15 min"`, `"7 days"`, `"250 ms"` or a number of ms → ms; else `undefined`. */
export function parseDuration(text: string | number): number | undefined {
  return parseAmount(text, durationUnits);
}

/** Exact, and parsed back to the same number: `67108864` → `64 MiB`, `1000` → `1000 bytes`. */
export function formatBytes(bytes: number): string {
  for (const [name, factor] of byteNames) {
    if (bytes >= factor && Number.isInteger((bytes / factor) * 10))
      return `${bytes / factor} ${name}`;
  }
  return bytes === 1 ? "1 byte" : `${bytes} bytes`;
}

/** Exact: `900000` → `15 min`, `1500` → `1.5 s`, `604800000` → `7 days`. */
export function formatDuration(ms: number): string {
  for (const [name, factor] of durationNames) {
    const amount = ms / factor;
    if (amount < 1 || !Number.isInteger(amount)) continue;
    if (name === "days" && amount === 1) continue;
    return `${amount} ${name}`;
  }
  return ms >= 1000 && Number.isInteger(ms / 100) ? `${ms / 1000} s` : `${ms} ms`;
}
