/** The storages with their disks taken into account: one without room takes no new uploads, and a fallback takes over. */
import type {
  StorageLease,
  StorageReadiness,
  Storages,
  StorageUse,
} from "../core/ports/storages.ts";
import type { DiskGuard } from "./disk-guard.ts";

export function guardedStorages(storages: Storages, disks: DiskGuard): Storages {
  return {
    lease(id: string, use: StorageUse): StorageLease {
      const refusal = use === "create" ? disks.refusalOf(id) : undefined;
      if (refusal !== undefined) throw refusal;
      return storages.lease(id, use);
    },
    get: (id) => storages.get(id),
    readiness(id: string): StorageReadiness {
      const readiness = storages.readiness(id);
      return readiness === "ready" && disks.isClosed(id) ? "failing" : readiness;
    },
    get defaultId() {
      return storages.defaultId;
    },
    ids: () => storages.ids(),
    assertRoom: (ids) => disks.assertRoom(ids),
  };
}
