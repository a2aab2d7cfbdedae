/** For tests: a set of storages that does not change. */
import { OperationalError } from "../../packages/server/src/core/errors.ts";
import type { StorageDriver } from "../../packages/server/src/core/ports/storage-driver.ts";
import type { Storages } from "../../packages/server/src/core/ports/storages.ts";

/** The first is the default. They are closed by whoever opened them: leases hold nothing. */
export function fixedStorages(drivers: readonly [StorageDriver, ...StorageDriver[]]): Storages {
  const byId = new Map(drivers.map((driver) => [driver.id, driver]));
  const get = (id: string): StorageDriver => {
    const driver = byId.get(id);
    if (driver === undefined) throw storageNotFound(id);
    return driver;
  };
  return {
    defaultId: drivers[0].id,
    ids: () => [...byId.keys()],
    get,
    lease: (id) => ({ driver: get(id), [Symbol.dispose]: () => undefined }),
    readiness: (id) => ((get(id).breaker?.() ?? "closed") === "closed" ? "ready" : "failing"),
  };
}

function storageNotFound(id: string): OperationalError {
  return new OperationalError("storage_not_found", "there is no such storage", {
    context: { storageId: id.toWellFormed().slice(0, 128) },
  });
}
