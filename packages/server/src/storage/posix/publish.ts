// Gives a synced file its final name. Before: the mount is still the right one. After: the name is
// durable. Only then may a put be acknowledged.

import { dirname } from "node:path";
import { OperationalError } from "../../core/errors.ts";
import { during, errnoOf, ignore } from "./errors.ts";
import type { Files } from "./files.ts";
import type { Folders } from "./folders.ts";
import type { MountGuard } from "./guard.ts";

/** A concurrent delete may remove a folder as often as it is made; this many times is no accident. */
const attemptsMax = 32;

export interface Publisher {
  readonly files: Files;
  readonly folders: Folders;
  readonly guard: MountGuard;
  /** On CephFS a file that is synced again after its rename is seen by other clients at once. */
  readonly syncAfterRename: boolean;
}

export interface Publication {
  /** Where the bytes are, synced, and their open descriptor. */
  readonly from: string;
  readonly fd: number;
  readonly to: string;
  /** `already_exists` if the name is taken. */
  readonly createOnly: boolean;
}

/**
 * Renames, or links where the name must be new: then the caller's file stays under its old name, to
 * be unlinked. Resolves when the name stands; `settle` makes it durable.
 */
export async function publish(publisher: Publisher, publication: Publication): Promise<void> {
  const { files, folders, guard } = publisher;
  const { from, to, createOnly } = publication;
  const folder = dirname(to);
  for (let attempt = 1; ; attempt += 1) {
    const [exists] = await during("check", Promise.all([folders.exists(folder), guard.check()]));
    try {
      if (!exists) await folders.make(folder);
      if (createOnly) await files.link(from, to);
      else await files.rename(from, to);
      return;
    } catch (error) {
      if (errnoOf(error) === "ENOENT" && attempt < attemptsMax) continue;
      if (errnoOf(error) === "ENOENT" || errnoOf(error) === "EISDIR") {
        const message = "the storage does not take the name";
        throw new OperationalError("unavailable", message, { cause: error });
      }
      await during("publish", Promise.reject(error));
    }
  }
}

/**
 * Makes a published name durable. If that fails, a name that had to be new is taken away again; one
 * that replaced another stays, for the old bytes are gone and the new ones are synced.
 */
export async function settle(publisher: Publisher, publication: Publication): Promise<void> {
  const { files, folders, syncAfterRename } = publisher;
  const { fd, to, createOnly } = publication;
  try {
    if (syncAfterRename) await files.syncData(fd);
    await folders.sync(dirname(to));
  } catch (error) {
    if (createOnly) await files.unlink(to, "anyway").catch(ignore);
    await during("sync", Promise.reject(error));
  }
}
