// A registry over a real store, with storages in memory and in folders, for its tests.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { z } from "zod";
import { secret } from "../../config/index.ts";
import { systemClock } from "../../core/ports/clock.ts";
import { silentLog } from "../../core/ports/log.ts";
import type { MetadataStore } from "../../core/ports/metadata-store.ts";
import type { StorageDriver } from "../../core/ports/storage-driver.ts";
import { createSealer } from "../../core/sealing.ts";
import { openSqliteStore } from "../../metadata/index.ts";
import { forward } from "../layers/forward.ts";
import { withLayers } from "../layers/stack.ts";
import { type MemoryContent, memoryContent, openMemoryStorage } from "../memory/driver.ts";
import { posixConfig } from "../posix/config.ts";
import { openPosixStorage } from "../posix/driver.ts";
import { type StorageKind, storageKind } from "./kinds.ts";
import { StorageRegistry, type StorageRegistryOptions } from "./registry.ts";

export interface World {
  readonly folder: string;
  readonly metadata: MetadataStore;
  /** What the place `place` of the kind `memory` holds. */
  content(place: string): MemoryContent;
  /** Places that do not open, and why. */
  readonly broken: Map<string, Error>;
  /** Ids in the order in which their drivers were closed. */
  readonly closed: string[];
  /** Called before each get of a driver. */
  layer: (driver: StorageDriver) => StorageDriver;
  open(options?: Partial<StorageRegistryOptions<string>>): Promise<StorageRegistry<string>>;
}

const memoryConfig = z.strictObject({
  place: z.string().min(1),
  key: secret().optional(),
  nested: z.strictObject({ token: secret().optional(), size: z.int().default(3) }).optional(),
});

export async function newWorld(t: TestContext): Promise<World> {
  const folder = await mkdtemp(join(tmpdir(), "roma-registry-"));
  const opened = new AsyncDisposableStack();
  t.after(() => opened.disposeAsync());
  opened.defer(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, "roma.sqlite");
  const metadata = opened.use(await openSqliteStore({ path, log: silentLog }));
  const contents = new Map<string, MemoryContent>();
  const content = (place: string): MemoryContent => {
    const known = contents.get(place) ?? memoryContent();
    contents.set(place, known);
    return known;
  };
  const closed: string[] = [];
  const broken = new Map<string, Error>();
  const noting = (driver: StorageDriver): StorageDriver =>
    forward(driver, {
      [Symbol.asyncDispose]: async () => {
        await driver[Symbol.asyncDispose]();
        closed.push(driver.id);
      },
    });
  const memory = storageKind({
    schema: memoryConfig,
    open: async ({ place }, { id }) => {
      const failure = broken.get(place);
      if (failure !== undefined) throw failure;
      return { driver: noting(openMemoryStorage({ id, content: content(place) })) };
    },
  });
  const posix = storageKind({
    schema: posixConfig,
    open: async ({ root, syncAfterRename }, { id, markerUuid }) => {
      const known = markerUuid === undefined ? { createMarker: true } : { uuid: markerUuid };
      const driver = await openPosixStorage({ id, root, syncAfterRename, ...known });
      return { driver: noting(driver), mark: driver.mark };
    },
  });
  const world: World = {
    folder,
    metadata,
    content,
    broken,
    closed,
    layer: (driver) => driver,
    open: async (options = {}) => {
      const registry = await StorageRegistry.open<string>({
        metadata,
        sealer: createSealer(Buffer.alloc(32, 7)),
        kinds: new Map<string, StorageKind>([
          ["memory", memory],
          ["posix", posix],
        ]),
        wrap: (driver) => world.layer(withLayers(driver)),
        admit: (driver, { signal }) => driver.probe({ signal }),
        test: async (driver) => `tested ${driver.id}`,
        builtIn: [{ id: "local", driver: "memory", settings: { place: "local" } }],
        clock: systemClock,
        log: silentLog,
        drainMsMax: 2_000,
        ...options,
      });
      opened.use(registry);
      return registry;
    },
  };
  return world;
}
