// Where does the time of a server's threads go? Sums up the `.cpuprofile` files of `node --cpu-prof`:
// the functions with the most time of their own. `node bench/cpu-profile.ts FOLDER` prints it alone.

import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";

interface ProfileNode {
  readonly id: number;
  readonly callFrame: {
    readonly functionName: string;
    readonly url: string;
    readonly lineNumber: number;
  };
}

interface Profile {
  readonly nodes: readonly ProfileNode[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

const linesMax = 30;

/** A block of text for each thread: seconds, share of the time that was not idle, function, place. */
export function summariseProfiles(folder: string): string {
  return readdirSync(folder)
    .filter((name) => name.endsWith(".cpuprofile"))
    .sort()
    .map((name) => summarise(join(folder, name)))
    .join("\n\n");
}

function summarise(path: string): string {
  // Written by node itself.
  const profile = JSON.parse(readFileSync(path, "utf8")) as Profile;
  const nodes = new Map(profile.nodes.map((node) => [node.id, node.callFrame]));
  const byPlace = new Map<string, number>();
  let busySeconds = 0;
  let idleSeconds = 0;
  profile.samples.forEach((id, index) => {
    const seconds = (profile.timeDeltas[index] ?? 0) / 1e6;
    const frame = nodes.get(id);
    if (frame === undefined) return;
    if (frame.functionName === "(idle)") {
      idleSeconds += seconds;
      return;
    }
    busySeconds += seconds;
    const place = placeOf(frame);
    byPlace.set(place, (byPlace.get(place) ?? 0) + seconds);
  });
  const lines = [...byPlace]
    .sort(([, a], [, b]) => b - a)
    .slice(0, linesMax)
    .map(([place, seconds]) => {
      const share = ((seconds / busySeconds) * 100).toFixed(1);
      return `${seconds.toFixed(3).padStart(9)} s ${share.padStart(5)} %  ${place}`;
    });
  const times = `busy ${busySeconds.toFixed(2)} s, idle ${idleSeconds.toFixed(2)} s`;
  return [`${basename(path)}: ${times}`, ...lines].join("\n");
}

function placeOf({ functionName, url, lineNumber }: ProfileNode["callFrame"]): string {
  const name = functionName === "" ? "(anonymous)" : functionName;
  const file = url.split("/").slice(-3).join("/");
  return file === "" ? name : `${name}  ${file}:${lineNumber + 1}`;
}

if (import.meta.main) {
  process.stdout.write(`${summariseProfiles(process.argv[2] ?? ".")}\n`);
}
