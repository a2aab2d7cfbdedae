// Compiles crc64-nvme.wat and writes the bytes, as base64, to crc64-nvme-wasm.ts. Run it after a
// change of the source: `node scripts/build-crc64.ts`. Only this script and its test need wabt.

import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import wabt from "wabt";

const sourceName = "crc64-nvme.wat";
const folder = new URL("../packages/server/src/core/digests/", import.meta.url);
export const crc64NvmeWasmFile = new URL("crc64-nvme-wasm.ts", folder);

/** The text of crc64-nvme-wasm.ts for the present source. Throws when the source is not valid. */
export async function generateCrc64NvmeWasm(): Promise<string> {
  const source = await readFile(new URL(sourceName, folder), "utf8");
  const features = { simd: true, bulk_memory: true };
  const module = (await wabt()).parseWat(sourceName, source, features);
  try {
    module.validate();
    const base64 = Buffer.from(module.toBinary({}).buffer).toString("base64");
    const lines = base64.match(/.{1,92}/g) ?? [];
    return [
      `// Generated from ${sourceName} by scripts/build-crc64.ts: change those, not this.`,
      "",
      "/** The compiled module, in base64. */",
      "export const crc64NvmeWasm = [",
      ...lines.map((line) => `  "${line}",`),
      '].join("");',
      "",
    ].join("\n");
  } finally {
    module.destroy();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await writeFile(crc64NvmeWasmFile, await generateCrc64NvmeWasm());
}
