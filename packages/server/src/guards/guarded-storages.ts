/** The storages with their disks taken into account: one without room takes no new uploads, and a fallback takes over. */
import type {
  DeclaredWrite,
  StorageLease,
  StorageReadiness,
  Storages,
  StorageUse,
} from "../core/ports/storages.ts";
import type { DiskGuard } from "./disk-guard.ts";

export function guardedStorages(storages: Storages, disks: DiskGuard): Storages {
  return {
    lease(id: string, use: StorageUse, write?: DeclaredWrite): StorageLease {
      const refusal = use === "create" ? disks.refusalOf(id) : undefined;
      if (refusal !== undefined) throw refusal;
      const lease = storages.lease(id, use);
      if (write === undefined) return lease;
      try {
        return counted(lease, disks.reserve(id, write));
      } catch (error) {
        lease[Symbol.dispose]();
        throw error;
      }
    },
    get: (id) => storages.get(id),
    readiness(id: string, bytes?: number): StorageReadiness {
      const readiness = storages.readiness(id);
      if (readiness !== "ready") return readiness;
      return disks.isClosed(id) || !disks.fits(id, bytes) ? "failing" : "ready";
    },
    get defaultId() {
      return storages.defaultId;
    },
    ids: () => storages.ids(),
    assertRoom: (ids, bytes) => disks.assertRoom(ids, bytes),
  };
}

/** Gives the room back with the storage, however what it was for has ended. */
function counted(lease: StorageLease, reservation: Disposable | undefined): StorageLease {
  if (reservation === undefined) return lease;
  return {
    driver: lease.driver,
    [Symbol.dispose]: () => {
      reservation[Symbol.dispose]();
      lease[Symbol.dispose]();
    },
  };
}
