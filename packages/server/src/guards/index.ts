// The guards: what refuses early, and says so, before something around the server runs out.

export { Ballast } from "./ballast.ts";
export {
  type DescriptorsConfig,
  type DiskConfig,
  descriptorsConfig,
  diskConfig,
  type MemoryConfig,
  memoryConfig,
} from "./config.ts";
export { DescriptorGuard } from "./descriptors.ts";
export {
  DiskGuard,
  type DiskGuardOptions,
  logMount,
  metadataMount,
  storageMount,
  type WatchedFolder,
} from "./disk-guard.ts";
export { guardedStorages } from "./guarded-storages.ts";
export { memoryShares, quotaBytesOfGroup } from "./memory-budget.ts";
export { MemoryGuard, type MemorySample } from "./memory-guard.ts";
export { assertUsable, type NeededFile } from "./writable.ts";
