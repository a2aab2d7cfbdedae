import { actsAcknowledged } from "./client.ts";
import type { SoakReport } from "./soak.ts";

const descriptorsMore = 16;
const residentShareMore = 0.25;
const residentBytesMore = 64e6;

/** What must not be in a report; empty if all is well. */
export function judge({ violations, before, after, counts }: SoakReport): readonly string[] {
  const faults = [...violations];
  for (const act of actsAcknowledged) {
    if (counts[`${act} acknowledged`] === undefined) faults.push(`no ${act} was acknowledged`);
  }
  if (before.pids.join() !== after.pids.join()) {
    faults.push(`workers ${before.pids} became ${after.pids} while none was killed`);
  }
  if (after.descriptors > before.descriptors + descriptorsMore) {
    faults.push(`descriptors rose from ${before.descriptors} to ${after.descriptors}`);
  }
  const bytesMax =
    before.residentBytes + Math.max(residentBytesMore, before.residentBytes * residentShareMore);
  if (after.residentBytes > bytesMax) {
    faults.push(`resident memory rose from ${before.residentBytes} to ${after.residentBytes}`);
  }
  return faults;
}
