// Runs the tests: every `*.test.ts` of the packages and of test/, each file in its own process, side
// by side, with Node's own runner and its summary at the end. A run fails when a test fails, when
// no test ran, or when any process of it reported a violation (`scripts/test-setup.mjs`).
//
//   npm test                                     everything
//   npm test -- packages/server/src/http         a folder, a file or a glob
//   npm test -- --test-name-pattern "stale"      tests by name
//
// ROMA_TEST_REQUIRE=all makes a missing prerequisite a failure (`test/prerequisites.ts`).

import { spawnSync } from "node:child_process";
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { compose } from "node:stream";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { build } from "esbuild";
import { bundleServer } from "./bundle-server.ts";
import { describeLeftOut, describeViolations, readReport } from "./test-report.ts";

const root = resolve(import.meta.dirname, "..");
const nodeMajorWanted = 26;
// For what hangs: a machine that is busy with other things may take five times as long as one that is not.
const testMsMax = 10 * 60_000;
const fileMsMax = 15 * 60_000;
const slowFiles = 40;

const status = useBundledNode() ?? (await main());
process.exitCode = status;

/** Runs again under the bundled Node when this one is another; undefined when it need not. */
function useBundledNode(): number | undefined {
  if (process.versions.node.startsWith(`${nodeMajorWanted}.`)) return undefined;
  const bundled = join(root, "node_modules/.bin/node");
  if (!existsSync(bundled)) {
    console.error(
      `tests run under Node ${nodeMajorWanted}, this is ${process.version}; run npm ci`,
    );
    return 1;
  }
  const args = [import.meta.filename, ...process.argv.slice(2)];
  return spawnSync(bundled, args, { stdio: "inherit" }).status ?? 1;
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      "test-name-pattern": { type: "string", multiple: true },
      "test-skip-pattern": { type: "string", multiple: true },
      "test-only": { type: "boolean" },
      "test-concurrency": { type: "string" },
      "test-timeout": { type: "string" },
    },
  });
  const files = findTests(positionals);
  if (files.length === 0) {
    console.error(`no test files${positionals.length > 0 ? ` in ${positionals.join(", ")}` : ""}`);
    return 1;
  }

  // Compiled once for all processes of the run, and for the next run: each starts in half the time.
  process.env.NODE_COMPILE_CACHE ??= join(tmpdir(), "roma-test-compile-cache");
  process.env.TEST_RUN_KYSELY = await bundleKysely(process.env.NODE_COMPILE_CACHE);
  if (files.some((file) => file.startsWith("test/"))) {
    process.env.TEST_RUN_SERVER = await bundleServer(process.env.NODE_COMPILE_CACHE);
  }
  const folder = mkdtempSync(join(tmpdir(), "roma-test-run-"));
  const reportFile = join(folder, "report.jsonl");
  process.env.TEST_RUN_REPORT = reportFile;
  process.env.TEST_RUN_FILE_MS_MAX = String(fileMsMax);
  const setup = pathToFileURL(join(import.meta.dirname, "test-setup.mjs")).href;
  process.env.NODE_OPTIONS = `${process.env.NODE_OPTIONS ?? ""} --import=${setup}`.trim();

  let failures = 0;
  let passes = 0;
  const stream = run({
    cwd: root,
    files,
    // Tests wait for disks and timers, so two at a time also pay on a machine with one core.
    concurrency: Number(values["test-concurrency"] ?? Math.max(2, availableParallelism())),
    timeout: Number(values["test-timeout"] ?? testMsMax),
    only: values["test-only"] ?? false,
    testNamePatterns: values["test-name-pattern"] ?? [],
    testSkipPatterns: values["test-skip-pattern"] ?? [],
  });
  stream.on("test:fail", () => {
    failures += 1;
  });
  stream.on("test:pass", () => {
    passes += 1;
  });
  const fileMs = new Map<string, number>();
  stream.on("test:summary", ({ file, duration_ms: ms }) => {
    if (file !== undefined) fileMs.set(relative(root, file), ms);
  });

  type Event = { readonly type: string; readonly data: object };
  async function* withLeftOut(events: AsyncIterable<Event>): AsyncIterable<Event> {
    let inSummary = false;
    for await (const event of events) {
      if (!inSummary && isSummary(event)) {
        inSummary = true;
        for (const message of [
          ...describeLeftOut(readReport(reportFile)),
          ...describeSlow(fileMs),
        ]) {
          yield { type: "test:diagnostic", data: { nesting: 0, message, level: "info" } };
        }
      }
      yield event;
    }
  }
  for await (const text of compose(stream, withLeftOut, new spec())) process.stdout.write(text);

  const violations = describeViolations(readReport(reportFile));
  for (const violation of violations) console.error(`\n✖ ${violation}`);
  if (violations.length > 0) console.error(`\n✖ violations ${violations.length}`);
  if (passes === 0) console.error("\n✖ no test ran");
  rmSync(folder, { recursive: true, force: true });
  return failures > 0 || violations.length > 0 || passes === 0 ? 1 : 0;
}

/** The whole of Kysely as one module, for `scripts/test-setup.mjs`; its URL. */
async function bundleKysely(cacheFolder: string): Promise<string> {
  const entry = fileURLToPath(import.meta.resolve("kysely"));
  const { version } = JSON.parse(readFileSync(join(dirname(entry), "../package.json"), "utf8"));
  // The same path each time: the compile cache goes by it.
  const file = join(cacheFolder, `kysely-${version}.mjs`);
  if (!existsSync(file)) {
    mkdirSync(cacheFolder, { recursive: true });
    const own = `${file}.${process.pid}`;
    const options = { bundle: true, format: "esm", platform: "node" } as const;
    await build({ entryPoints: [entry], outfile: own, ...options, logLevel: "error" });
    renameSync(own, file);
  }
  return pathToFileURL(file).href;
}

/** The files that took longest, when there are enough of them to compare. */
function describeSlow(fileMs: ReadonlyMap<string, number>): string[] {
  if (fileMs.size <= slowFiles) return [];
  return [...fileMs]
    .sort(([, a], [, b]) => b - a)
    .slice(0, slowFiles)
    .map(([file, ms]) => `slow: ${Math.round(ms / 1000)} s ${file}`);
}

/** The first line of the runner's summary. */
function isSummary(event: { readonly type: string; readonly data: object }): boolean {
  const message: unknown = Reflect.get(event.data, "message");
  return (
    event.type === "test:diagnostic" && typeof message === "string" && /^tests \d/.test(message)
  );
}

/** The test files of the tree, or those below the given paths. Whole-product tests, the longest, come first. */
function findTests(paths: readonly string[]): string[] {
  const all = ["test/**/*.test.ts", "packages/*/src/**/*.test.ts"].flatMap((pattern) =>
    globSync(pattern, { cwd: root, exclude: ["**/node_modules/**"] }).sort(),
  );
  if (paths.length === 0) return all;
  const wanted = paths.flatMap((path) => {
    const absolute = resolve(process.env.INIT_CWD ?? root, path);
    if (existsSync(absolute)) return [relative(root, absolute)];
    return globSync(path, { cwd: root });
  });
  const isBelow = (file: string, path: string): boolean =>
    path === "" ||
    file === path ||
    (file.startsWith(`${path}/`) && statSync(join(root, path)).isDirectory());
  return all.filter((file) => wanted.some((path) => isBelow(file, path)));
}
