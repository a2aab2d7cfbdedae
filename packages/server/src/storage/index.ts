// The storages that Roma can open, and the layers around them.

export { type LayerOptions, withLayers } from "./layers/stack.ts";
export {
  type MemoryContent,
  type MemoryOptions,
  memoryContent,
  openMemoryStorage,
} from "./memory/driver.ts";
export { type PosixConfig, posixConfig } from "./posix/config.ts";
export {
  openPosixStorage,
  type PosixOptions,
  type PosixStorage,
} from "./posix/driver.ts";
