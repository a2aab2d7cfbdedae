/** The file systems below the data and the storages: room, inodes, kind, and whether they answer. */
import { readFileSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { resolve } from "node:path";
import { type Finding, findings, roundBytes, unlessHanging } from "./finding.ts";

const { ok, warn, fail } = findings("space");

export interface Place {
  /** What lies there, for people: `data`, `storage disk2`. */
  readonly name: string;
  readonly path: string;
  /** The metadata store is there, which wants a local disk. */
  readonly holdsMetadata?: boolean;
}

const network = /^(nfs|cifs|smb|ceph|glusterfs|lustre|9p|fuse\.(?!portal))/;

export async function checkPlaces(places: readonly Place[]): Promise<readonly Finding[]> {
  const mounts = readMounts();
  const all = places.map(async (place) => [...kindOf(place, mounts), ...(await room(place))]);
  return (await Promise.all(all)).flat();
}

async function room({ name, path }: Place): Promise<readonly Finding[]> {
  const found = await unlessHanging(statfs(path).catch(() => undefined));
  if (found === "hangs") {
    return [fail(`${name}: ${path} does not answer`, "look at the mount, and at what serves it")];
  }
  if (found === undefined) return [];
  const { bavail, blocks, bsize, ffree, files } = found;
  const freeBytes = bavail * bsize;
  const share = blocks === 0 ? 1 : bavail / blocks;
  const said = `${name}: ${roundBytes(freeBytes)} free in ${path}`;
  const make = "make room, or add a storage (roma storage add)";
  const ofBytes =
    share < 0.01 || freeBytes < 100 * 2 ** 20
      ? fail(said, make)
      : share < 0.05 || freeBytes < 2 ** 30
        ? warn(said, make)
        : ok(said);
  const inodesShare = files === 0 ? 1 : ffree / files;
  if (inodesShare >= 0.05) return [ofBytes];
  const inodes = `${name}: ${ffree} of ${files} inodes free in ${path}`;
  const fewer = "remove what has many small files, or make a file system with more inodes";
  return [ofBytes, ffree < 1_000 ? fail(inodes, fewer) : warn(inodes, fewer)];
}

interface Mount {
  readonly point: string;
  readonly type: string;
  readonly readOnly: boolean;
}

function kindOf(
  { name, path, holdsMetadata = false }: Place,
  mounts: readonly Mount[],
): readonly Finding[] {
  const whole = resolve(path);
  const mount = mounts
    .filter(({ point }) => whole === point || point === "/" || whole.startsWith(`${point}/`))
    .reduce<Mount | undefined>(
      (best, one) => (best !== undefined && best.point.length > one.point.length ? best : one),
      undefined,
    );
  if (mount === undefined) return [];
  const { point, type, readOnly } = mount;
  if (readOnly)
    return [
      fail(`${name}: ${point} is mounted read-only`, `look why, then mount -o remount,rw ${point}`),
    ];
  if (type === "tmpfs" || type === "ramfs") {
    return [
      warn(
        `${name}: ${point} is in memory (${type}): all of it is gone after a restart of the machine`,
        "use a disk",
      ),
    ];
  }
  if (type === "overlay") {
    return [
      warn(
        `${name}: ${path} is in the container's own layer, and gone with the container`,
        "mount a volume there",
      ),
    ];
  }
  if (holdsMetadata && network.test(type)) {
    return [
      warn(
        `${name}: the metadata store is on ${type}, where locks and syncs may not hold what they promise`,
        "keep the data folder on a local disk; storages may be on such mounts",
      ),
    ];
  }
  return [];
}

function readMounts(): readonly Mount[] {
  let text: string;
  try {
    text = readFileSync("/proc/self/mounts", "utf8");
  } catch {
    return [];
  }
  return text.split("\n").flatMap((line) => {
    const [, point, type = "", options = ""] = line.split(" ");
    if (point === undefined) return [];
    const plain = point.replaceAll(/\\([0-7]{3})/g, (_whole, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    );
    return [{ point: plain, type, readOnly: options.split(",").includes("ro") }];
  });
}
