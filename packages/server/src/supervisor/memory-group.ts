/**
 * The groups (cgroup, version 1 or 2) that this process is in: their quotas of memory and CPU, and how many
 * processes the kernel has killed there. These files are the kernel's own and never wait for a disk.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { totalmem } from "node:os";
import { dirname, join, relative } from "node:path";

export interface MemoryGroup {
  /** The least of the group's and its parents'; undefined where there is none. */
  readonly quotaBytes: number | undefined;
  /** The kernel ends all processes of the group together: nobody is left to tell. */
  readonly killsAll: boolean;
  /** Processes killed in this group since it was made; undefined where nobody counts. */
  kills(): number | undefined;
}

interface Place {
  readonly version: 1 | 2;
  readonly folder: string;
  /** Where the hierarchy is mounted; its parents are not visible from here. */
  readonly mount: string;
}

type Read = (path: string) => string | undefined;

/** `root` and `memoryBytes` are this machine's; a test gives its own. */
export function ownMemoryGroup({
  root = "/",
  memoryBytes = totalmem(),
}: {
  readonly root?: string;
  readonly memoryBytes?: number;
} = {}): MemoryGroup {
  const read: Read = (path) => readIfThere(join(root, path));
  const place = findPlace(read, "memory");
  if (place === undefined)
    return { quotaBytes: undefined, killsAll: false, kills: () => undefined };
  const quota = Math.min(...ancestors(place).map((folder) => limitOf(folder, place.version, read)));
  const counter = join(place.folder, place.version === 1 ? "memory.oom_control" : "memory.events");
  return {
    // "No limit" is a number as well, larger than any memory.
    quotaBytes: quota < memoryBytes ? quota : undefined,
    killsAll: read(join(place.folder, "memory.oom.group"))?.trim() === "1",
    kills: () => {
      const count = /^oom_kill (\d+)$/m.exec(read(counter) ?? "")?.[1];
      return count === undefined ? undefined : Number(count);
    },
  };
}

/**
 * Where memory runs out the kernel ends the process that has the most, and perhaps another one while the
 * first is still going. This process asks to be first: a worker is followed by another, nobody follows the
 * supervisor. The kernel counts a tenth of the group's memory more for it (`oom_score_adj`, proc(5)).
 */
export function offerToBeKilledFirst(path = "/proc/self/oom_score_adj"): void {
  try {
    writeFileSync(path, String(Math.min(1_000, Number(readFileSync(path, "latin1")) + 100)));
  } catch {
    // Not Linux, or a sandbox: the kernel chooses by size alone.
  }
}

/** CPUs that the quota of this process's group, or of a parent, is worth; undefined where there is none. */
export function ownCpuQuota({ root = "/" }: { readonly root?: string } = {}): number | undefined {
  const read: Read = (path) => readIfThere(join(root, path));
  const place = findPlace(read, "cpu");
  if (place === undefined) return undefined;
  const quotas = ancestors(place).map((folder) => {
    const [quota, period] =
      place.version === 1
        ? ["cpu.cfs_quota_us", "cpu.cfs_period_us"].map((name) => read(join(folder, name)))
        : (read(join(folder, "cpu.max")) ?? "").split(" ");
    const cpus = Number.parseInt(quota ?? "", 10) / Number.parseInt(period ?? "", 10);
    // -1 and max: none.
    return cpus > 0 ? cpus : Number.POSITIVE_INFINITY;
  });
  const least = Math.min(...quotas);
  return Number.isFinite(least) ? least : undefined;
}

function findPlace(read: Read, controller: "memory" | "cpu"): Place | undefined {
  const groups = (read("/proc/self/cgroup") ?? "").trim().split("\n");
  const mounts = (read("/proc/self/mountinfo") ?? "").trim().split("\n").map(parseMount);
  const places = groups.map((line): Place | undefined => {
    // 4:memory:/some/group, or for version 2 0::/some/group
    const [id, controllers = "", ...rest] = line.split(":");
    const path = rest.join(":");
    const version = id === "0" && controllers === "" ? 2 : 1;
    if (version === 1 && !controllers.split(",").includes(controller)) return undefined;
    const mount = mounts.find(({ type, options }) =>
      version === 2 ? type === "cgroup2" : type === "cgroup" && options.includes(controller),
    );
    if (mount === undefined) return undefined;
    // In a container the hierarchy may be mounted from the container's own group on.
    const below = relative(mount.root, path);
    const folder = below.startsWith("..") ? mount.point : join(mount.point, below);
    return { version, folder, mount: mount.point };
  });
  // With both mounted, a controller is in one of them only: version 1 where it is named.
  return places.find((one) => one?.version === 1) ?? places.find((one) => one !== undefined);
}

/** proc(5): id parent major:minor root point options [tags] - type source superOptions */
function parseMount(line: string) {
  const [before = "", after = ""] = line.split(" - ");
  const [, , , root = "/", point = ""] = before.split(" ");
  const [type = "", , options = ""] = after.split(" ");
  return { root, point: withoutEscapes(point), type, options: options.split(",") };
}

/** Blanks and their like are written in octal there. */
function withoutEscapes(text: string): string {
  return text.replace(/\\(\d{3})/g, (_whole, octal) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

function ancestors({ folder, mount }: Place): readonly string[] {
  const folders = [folder];
  for (let at = folder; at !== mount && at.startsWith(mount); ) {
    at = dirname(at);
    folders.push(at);
  }
  return folders;
}

function limitOf(folder: string, version: 1 | 2, read: Read): number {
  const name = version === 1 ? "memory.limit_in_bytes" : "memory.max";
  const limit = Number.parseInt(read(join(folder, name)) ?? "", 10);
  return Number.isNaN(limit) ? Number.POSITIVE_INFINITY : limit;
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
