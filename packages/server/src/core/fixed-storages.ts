/** A set of storages that does not change while the server runs. */
import { OperationalError } from "./errors.ts";
import type { StorageDriver } from "./ports/storage-driver.ts";
import type { Storages } from "./ports/storages.ts";

/** The first is the default. */
export function fixedStorages(drivers: readonly [StorageDriver, ...StorageDriver[]]): Storages {
  const byId = new Map(drivers.map((driver) => [driver.id, driver]));
  return {
    defaultId: drivers[0].id,
    ids: () => [...byId.keys()],
    get(id) {
      const driver = byId.get(id);
      if (driver === undefined) {
        throw new OperationalError("storage_not_found", "there is no such storage", {
          context: { storageId: id.toWellFormed().slice(0, 128) },
        });
      }
      return driver;
    },
  };
}
