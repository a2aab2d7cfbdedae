// What some tests need of the machine. A test asks for it here, so that a missing one never passes
// unseen: the run's end names what was left out, and ROMA_TEST_REQUIRE=all makes it a failure.

import { spawnSync } from "node:child_process";
import { appendFileSync, mkdtempSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import type { TestContext } from "node:test";

type Check = {
  /** How to get it, as a phrase. */
  readonly enable: string;
  readonly isMet: () => boolean;
};

const checks = {
  root: { enable: "run the tests as root", isMet: () => process.getuid?.() === 0 },
  tmpfs: { enable: "run as root, with the right to mount", isMet: canMountTmpfs },
  strace: {
    enable: "apt-get install strace, with the right to trace",
    isMet: () => succeeds("strace", ["-o", "/dev/null", "true"]),
  },
  nginx: { enable: "apt-get install nginx-light", isMet: () => succeeds("nginx", ["-v"]) },
  curl: { enable: "apt-get install curl", isMet: () => succeeds("curl", ["--version"]) },
  registry: {
    enable: "let npm reach its registry",
    isMet: () =>
      succeeds("npm", ["view", "zod", "version", "--prefer-online", "--fetch-retries=0"]),
  },
} satisfies Record<string, Check>;

export type Prerequisite = keyof typeof checks;

const answers = new Map<Prerequisite, boolean>();

/**
 * True when the machine has it. Otherwise the test is marked as skipped, with the reason and in the
 * list at the end of the run, and must return at once; where prerequisites are required
 * (ROMA_TEST_REQUIRE=all, or a list of names with commas) it throws instead.
 *
 *     if (!requirePrerequisite(t, "strace")) return;
 */
export function requirePrerequisite(t: TestContext, prerequisite: Prerequisite): boolean {
  let isMet = answers.get(prerequisite);
  if (isMet === undefined) {
    isMet = checks[prerequisite].isMet();
    answers.set(prerequisite, isMet);
  }
  if (isMet) return true;

  const { enable } = checks[prerequisite];
  const reason = `needs ${prerequisite} (${enable})`;
  const required = (process.env.ROMA_TEST_REQUIRE ?? "").split(",");
  if (required.includes("all") || required.includes(prerequisite)) {
    throw new Error(`a required prerequisite is missing: ${reason}`);
  }
  const reportFile = process.env.TEST_RUN_REPORT;
  if (reportFile !== undefined && reportFile !== "") {
    const root = resolve(import.meta.dirname, "..");
    const file = relative(root, t.filePath ?? process.argv[1] ?? "");
    const line = { kind: "left-out", prerequisite, enable, file };
    appendFileSync(reportFile, `${JSON.stringify(line)}\n`);
  }
  t.skip(reason);
  return false;
}

function succeeds(command: string, args: readonly string[]): boolean {
  return spawnSync(command, args, { stdio: "ignore", timeout: 30_000 }).status === 0;
}

function canMountTmpfs(): boolean {
  if (process.getuid?.() !== 0) return false;
  const folder = mkdtempSync(join(tmpdir(), "roma-tmpfs-"));
  try {
    const mounted = succeeds("mount", ["-t", "tmpfs", "-o", "size=64k", "roma-test", folder]);
    return mounted && succeeds("umount", [folder]);
  } finally {
    rmdirSync(folder);
  }
}
