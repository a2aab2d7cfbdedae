// The fs adapter of parse-server keeps each file under its encoded name. Makes a folder of hard links with the names as
// Parse knows them, directories included, for `roma upload`. Nothing is copied, and the files stay what they are.
//
//   node link-decoded.mjs files moving
import { linkSync, mkdirSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";

const [from, to] = process.argv.slice(2);
if (to === undefined) throw new Error("usage: node link-decoded.mjs FROM TO");

for (const entry of readdirSync(from, { withFileTypes: true })) {
  if (!entry.isFile()) continue;
  const name = join(to, decodeURIComponent(entry.name));
  mkdirSync(dirname(name), { recursive: true });
  try {
    linkSync(join(from, entry.name), name);
  } catch (error) {
    // From an earlier run.
    if (error.code !== "EEXIST") throw error;
  }
}
