// Writes docs/configuration.md from the option schemas: `node scripts/build-reference.ts`.

import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { referenceMarkdown } from "../packages/server/src/config/index.ts";
import { serverConfig } from "../packages/server/src/server-config.ts";

export const referenceFile = new URL("../docs/configuration.md", import.meta.url);

export function generateReference(): string {
  return [
    "# Configuration",
    "",
    "Generated from the option schemas by `scripts/build-reference.ts`.",
    "",
    "Sources, the later wins: the defaults, a JSON file (`--config FILE` or `ROMA_CONFIG`), the environment, flags.",
    "Every problem of a configuration is reported at once, with its path; an unknown option stops the start and",
    "names the nearest known one. `roma config check FILE` checks without starting. Sizes and times carry units:",
    '`"64 MiB"`, `"30 s"`.',
    "",
    referenceMarkdown(serverConfig).trim(),
    "",
  ].join("\n");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await writeFile(referenceFile, generateReference());
}
