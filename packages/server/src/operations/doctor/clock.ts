/** Is this machine's time right? Storages sign with it and refuse one that is 15 minutes off. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { request } from "undici";
import { formatDuration } from "../../config/index.ts";
import { type Finding, findings } from "./finding.ts";

const { ok, warn, fail } = findings("clock");

export interface ClockOptions {
  readonly data: string;
  /** Origins of storages, whose answers say their time. */
  readonly origins: readonly { readonly name: string; readonly origin: string }[];
  readonly signal: AbortSignal;
}

/** No software of ours is older. */
const earliest = Date.UTC(2026, 0, 1);
const answerMsMax = 5_000;
const offMsWarn = 60_000;
const offMsFail = 10 * 60_000;

export async function checkClock({
  data,
  origins,
  signal,
}: ClockOptions): Promise<readonly Finding[]> {
  const now = Date.now();
  if (now < earliest) {
    return [
      fail(
        `the system's time is ${new Date(now).toISOString()}`,
        "set it; use chrony or systemd-timesyncd",
      ),
    ];
  }
  const written = await Promise.all(
    ["metadata.sqlite", "metadata.sqlite-wal", "root-key.json"].map(async (name) => {
      const found = await stat(join(data, name)).catch(() => undefined);
      return found?.mtimeMs ?? 0;
    }),
  );
  const aheadMs = Math.max(...written) - now;
  const found: Finding[] = [];
  if (aheadMs > offMsWarn) {
    found.push(
      fail(
        `files of the data folder were written ${formatDuration(Math.round(aheadMs))} ahead of the system's time`,
        "the clock was set back, or another machine wrote them: set it, and keep it set by chrony or systemd-timesyncd",
      ),
    );
  }
  for (const { name, origin } of origins) found.push(...(await compare(name, origin, signal)));
  return found.length === 0 ? [ok(`the system's time is ${new Date(now).toISOString()}`)] : found;
}

async function compare(
  name: string,
  origin: string,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  try {
    const began = Date.now();
    const answer = await request(origin, {
      method: "HEAD",
      signal: AbortSignal.any([signal, AbortSignal.timeout(answerMsMax)]),
    });
    await answer.body.dump();
    const { date } = answer.headers;
    const told = typeof date === "string" ? Date.parse(date) : Number.NaN;
    if (Number.isNaN(told)) return [];
    const middle = (began + Date.now()) / 2;
    const offMs = Math.abs(told + 500 - middle);
    const said = `storage ${name} has a time that differs by ${formatDuration(Math.round(offMs / 1000) * 1000)}`;
    const advice = "set this machine's time, and keep it set by chrony or systemd-timesyncd";
    if (offMs > offMsFail) return [fail(said, advice)];
    return [offMs > offMsWarn ? warn(said, advice) : ok(said)];
  } catch {
    // Whether it answers at all is what the storage's own check says.
    return [];
  }
}
