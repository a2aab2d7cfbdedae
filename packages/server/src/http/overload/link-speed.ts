/** How fast this machine's network card is, as the kernel says. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Bytes per second of the fastest card that is up; `undefined` where none says its speed, as virtual ones. */
export function linkBytesPerSecond(root = "/sys/class/net"): number | undefined {
  const speeds = names(root).flatMap((name) => speedOf(join(root, name)));
  return speeds.length === 0 ? undefined : (Math.max(...speeds) * 1_000_000) / 8;
}

function names(root: string): readonly string[] {
  try {
    return readdirSync(root).filter((name) => name !== "lo");
  } catch {
    return [];
  }
}

/** In Mbit/s. A card that is down, or has none, fails the reading or says -1. */
function speedOf(folder: string): readonly number[] {
  try {
    const state = readFileSync(join(folder, "operstate"), "latin1").trim();
    const speed = Number(readFileSync(join(folder, "speed"), "latin1"));
    return state !== "down" && speed > 0 ? [speed] : [];
  } catch {
    return [];
  }
}
