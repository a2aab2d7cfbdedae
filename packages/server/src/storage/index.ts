// The storages that Roma can open, the layers around them, the canary, and the registry of them all.

export { admitStorage, type CanaryOptions, runCanary } from "./canary/canary.ts";
export { type Diagnosis, diagnose } from "./canary/diagnose.ts";
export { type CanaryReport, canaryMarkdown } from "./canary/report.ts";
export { type KindOptions, storageKinds } from "./kinds.ts";
export { ColdProbe, type ColdProbeOptions } from "./layers/cold-probe.ts";
export { type LayerOptions, withLayers } from "./layers/stack.ts";
export {
  type MemoryContent,
  type MemoryOptions,
  memoryContent,
  openMemoryStorage,
} from "./memory/driver.ts";
export { limitReadBuffers, readBytesUsed } from "./posix/buffers.ts";
export { type PosixConfig, posixConfig } from "./posix/config.ts";
export {
  openPosixStorage,
  type PosixOptions,
  type PosixStorage,
} from "./posix/driver.ts";
export { isOfWorkers } from "./registry/elsewhere.ts";
export type { StorageInfo } from "./registry/info.ts";
export { type Settings, type StorageKind, storageKind } from "./registry/kinds.ts";
export type { MarkJudge } from "./registry/opener.ts";
export { StorageRegistry, type StorageRegistryOptions } from "./registry/registry.ts";
export { limitSharedPartBuffers, sharedPartBuffers } from "./s3/part-buffers.ts";
