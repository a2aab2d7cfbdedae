// Makes the reference of the SDK's three entries from their doc comments: `npm run docs` writes it to
// build/docs, or to the folder that is given. A comment that leads nowhere fails it.

import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "../..");
const out = resolve(process.argv[2] ?? join(root, "build/docs"));
const typedoc = createRequire(import.meta.url).resolve("typedoc/package.json");

const flags = [
  ...["browser", "node", "react"].map((name) => join(root, `packages/sdk/src/${name}/index.ts`)),
  ...["--out", out, "--name", "@roma/sdk", "--readme", join(root, "docs/sdk.md")],
  ...["--tsconfig", join(import.meta.dirname, "tsconfig.json")],
  ...["--disableSources", "--excludePrivate", "--excludeInternal", "--treatWarningsAsErrors"],
  ...["--sort", "source-order"],
  ...["typescript", "javascript", "jsx"].flatMap((name) => ["--highlightLanguages", name]),
];
const args = [join(dirname(typedoc), "bin/typedoc"), ...flags];
const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: "inherit" });
process.exitCode = status ?? 1;
