import { describeStorageDriver } from "../conformance.ts";
import { withLayers } from "../layers/stack.ts";
import { memoryContent, openMemoryStorage } from "./driver.ts";

const openFull = async () => ({ driver: openMemoryStorage({ id: "full", bytesMax: 1024 * 1024 }) });

describeStorageDriver(
  "memory",
  async () => {
    const content = memoryContent();
    const open = () => openMemoryStorage({ id: "memory", content });
    return { driver: open(), reopen: async () => open() };
  },
  { openFull },
);

describeStorageDriver(
  "memory with all layers",
  async () => {
    const content = memoryContent();
    const open = () => withLayers(openMemoryStorage({ id: "memory", content }));
    return { driver: open(), reopen: async () => open() };
  },
  { digests: true },
);
