// The driver of files on a mounted file system: the contract of drivers, and what then lies there.

import { mkdtemp, rm } from "node:fs/promises";
import { join, relative } from "node:path";
import {
  describeStorageDriver,
  type OpenStorage,
} from "../../packages/server/src/storage/conformance.ts";
import { openPosixStorage } from "../../packages/server/src/storage/posix/driver.ts";
import { contentCases } from "./content.ts";

export interface MountedFolder {
  readonly path: () => string;
  /** A shell command that prints the file of a path below the folder, past this host's cache. */
  readonly print: (path: string) => string;
  /** A folder in which 64 MiB find no room. */
  readonly fullPath?: () => string;
}

export function describePosixStorage(name: string, mount: MountedFolder): void {
  let root = "";
  const openBelow =
    (path: () => string): OpenStorage =>
    async (t) => {
      const folder = await mkdtemp(join(path(), "storage-"));
      t.after(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
      root = folder;
      const driver = await openPosixStorage({ id: "disk", root: folder, createMarker: true });
      const { uuid } = driver;
      return { driver, reopen: () => openPosixStorage({ id: "disk", root: folder, uuid }) };
    };

  const { fullPath } = mount;
  describeStorageDriver(`posix on ${name}`, openBelow(mount.path), {
    constantMemory: true,
    ...(fullPath !== undefined && { openFull: openBelow(fullPath) }),
  });
  contentCases(name, {
    open: openBelow(mount.path),
    print: (key) => mount.print(join(relative(mount.path(), root), key)),
  });
}
