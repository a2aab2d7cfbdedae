/** The guards of a running server, with what they watch. */
import { dirname } from "node:path";
import type { FastifyInstance } from "fastify";
import type { Alerts } from "./core/ports/alerts.ts";
import type { Log } from "./core/ports/log.ts";
import type { Meter } from "./core/ports/meter.ts";
import type { Siblings } from "./core/ports/siblings.ts";
import type { Storages } from "./core/ports/storages.ts";
import {
  assertUsable,
  Ballast,
  DescriptorGuard,
  type DescriptorsConfig,
  type DiskConfig,
  DiskGuard,
  guardedStorages,
  logMount,
  type MemoryConfig,
  MemoryGuard,
  memoryShares,
  metadataMount,
  quotaBytesOfGroup,
  storageMount,
  type WatchedFolder,
} from "./guards/index.ts";
import type { DataFolder } from "./operations/data-folder.ts";
import type { ReadinessCheck } from "./operations/readiness.ts";
import {
  limitReadBuffers,
  limitSharedPartBuffers,
  readBytesUsed,
  type StorageInfo,
  sharedPartBuffers,
} from "./storage/index.ts";

/**
 * Rejects, with all that is wrong, when the data folder or what is in it belongs to somebody else. A file of the root key
 * that the configuration stands in for is not asked for.
 */
export async function assertDataUsable(
  folder: DataFolder,
  { hasRootKey, hasSealingKey }: { readonly hasRootKey: boolean; readonly hasSealingKey: boolean },
): Promise<void> {
  const { path, metadataPath, objectsPath, rootKeyPath, sealingKeyPath } = folder;
  await assertUsable([
    { path, need: "folder" },
    ...["", "-wal", "-shm", ".lock"].map((suffix) => ({
      path: metadataPath + suffix,
      need: "write" as const,
    })),
    { path: objectsPath, need: "folder" },
    ...(hasSealingKey ? [] : [{ path: sealingKeyPath, need: "read" as const }]),
    ...(hasRootKey ? [] : [{ path: rootKeyPath, need: "read" as const }]),
  ]);
}

/** The guard of the disks, of the metadata's alone until `guardStorages` gives it the others. */
export class Guards implements AsyncDisposable {
  readonly disks: DiskGuard;
  readonly #memory: MemoryGuard;
  readonly #descriptors: DescriptorGuard;
  #storages: { list(): readonly StorageInfo[] } = { list: () => [] };
  #sweep: () => void = () => {};

  constructor(options: {
    readonly descriptors: DescriptorsConfig;
    readonly disk: DiskConfig;
    readonly memory: MemoryConfig;
    readonly siblings?: Siblings | undefined;
    readonly logFile?: string | undefined;
    readonly dataFolder: string;
    readonly log: Log;
    readonly meter: Meter;
    readonly alerts?: Alerts | undefined;
  }) {
    const { disk, logFile, dataFolder, log, meter, alerts } = options;
    const fixed: WatchedFolder[] = [{ mount: metadataMount, path: dataFolder }];
    if (logFile !== undefined) fixed.push({ mount: logMount, path: dirname(logFile) });
    const shares = memoryShares(options.memory, {
      quotaBytes: quotaBytesOfGroup(),
      workers: options.siblings?.count ?? 1,
    });
    limitSharedPartBuffers(shares.partBytesMax);
    limitReadBuffers(shares.readBytesMax);
    this.#descriptors = new DescriptorGuard({ config: options.descriptors, log, meter, alerts });
    this.#memory = new MemoryGuard({
      config: options.memory,
      shares,
      used: () => ({ parts: sharedPartBuffers().usedBytes, reads: readBytesUsed() }),
      log,
      meter,
      alerts,
    });
    this.disks = new DiskGuard({
      config: disk,
      folders: () => [...fixed, ...this.#storages.list().flatMap(folderOf)],
      sweep: () => this.#sweep(),
      ballast: new Ballast({ folder: dataFolder, bytes: disk.ballastBytes, log }),
      log,
      meter,
      alerts,
    });
  }

  /** Watches the storages' disks too, from now on. Answers the storages as core is to see them. */
  async guardStorages(storages: Storages & { list(): readonly StorageInfo[] }): Promise<Storages> {
    this.#storages = storages;
    await this.disks.start();
    return guardedStorages(storages, this.disks);
  }

  /** Before protocols are registered on the instance. */
  admitTo(app: FastifyInstance): void {
    this.#descriptors.admitTo(app);
    this.#memory.admitTo(app);
  }

  /** Who is asked to sweep when a disk is low. */
  sweepWith(sweeper: { soon(): void }): void {
    this.#sweep = () => sweeper.soon();
  }

  checks(): readonly ReadinessCheck[] {
    return this.disks.checks();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#descriptors[Symbol.dispose]();
    this.#memory[Symbol.dispose]();
    await this.disks[Symbol.asyncDispose]();
  }
}

/** Storages that are folders; the others have no disk of this machine. */
function folderOf({ id, driver, state, settings }: StorageInfo): readonly WatchedFolder[] {
  const { root } = settings;
  if (driver !== "posix" || state === "retired" || typeof root !== "string") return [];
  return [{ mount: storageMount(id), path: root }];
}
