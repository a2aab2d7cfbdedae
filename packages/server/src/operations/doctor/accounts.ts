/** Users of this machine, and becoming one of them. */
import { readFileSync } from "node:fs";

export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  /** Its own and all others that it is a member of. */
  readonly gids: readonly number[];
}

/** By name or number; undefined where there is none. */
export function findAccount(nameOrUid: string): Account | undefined {
  for (const line of readLines("/etc/passwd")) {
    const [name = "", , uid, gid] = line.split(":");
    if (name !== nameOrUid && uid !== nameOrUid) continue;
    return { name, uid: Number(uid), gid: Number(gid), gids: gidsOf(name, Number(gid)) };
  }
  return undefined;
}

export function accountName(uid: number): string {
  return findAccount(String(uid))?.name ?? String(uid);
}

/** For good: there is no way back to root. */
export function become({ uid, gid, gids }: Account): void {
  process.setgroups?.([...gids]);
  process.setgid?.(gid);
  process.setuid?.(uid);
}

function gidsOf(name: string, own: number): readonly number[] {
  const others = readLines("/etc/group").flatMap((line) => {
    const [, , gid, members = ""] = line.split(":");
    return members.split(",").includes(name) ? [Number(gid)] : [];
  });
  return [...new Set([own, ...others])];
}

function readLines(path: string): readonly string[] {
  try {
    return readFileSync(path, "utf8").split("\n").filter(Boolean);
  } catch {
    return [];
  }
}
