import { actsAcknowledged } from "./client.ts";
import type { SoakReport } from "./soak.ts";

const descriptorsMore = 16;
const resourcesMore = 16;
const listenersMore = 3;
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
    return faults;
  }
  type Name = "descriptors" | "residentBytes" | "listeners" | "resources";
  const bound = (name: Name, most: (value: number) => number): void => {
    for (const [index, value] of before[name].entries()) {
      const now = after[name][index] ?? Number.NaN;
      if (!(now <= most(value))) faults.push(`${name} of a worker rose from ${value} to ${now}`);
    }
  };
  const opened = after.connections - before.connections;
  bound("descriptors", (value) => value + opened + descriptorsMore);
  bound("resources", (value) => value + opened + resourcesMore);
  // A worker whose connections were closed meanwhile has none to count: that is no measure of the rest.
  bound("listeners", () => Math.max(...before.listeners) + listenersMore);
  bound("residentBytes", (value) => value + Math.max(residentBytesMore, value * residentShareMore));
  return faults;
}
