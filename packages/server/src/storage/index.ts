// The storages that Roma can open, and the layers around them.

export {
  openPosixStorage,
  type PosixOptions,
  type PosixStorage,
} from "./posix/driver.ts";
export { type MemoryContent, type MemoryOptions, memoryContent, openMemoryStorage } from "./memory/driver.ts";
export { type LayerOptions, withLayers } from "./layers/stack.ts";
export { posixConfig, type PosixConfig } from "./posix/config.ts";
