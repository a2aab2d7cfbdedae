// What some tests need of the machine. A test asks for it here, so that a missing one never passes
// unseen: the run's end names what was left out, and ROMA_TEST_REQUIRE=all makes it a failure.

import { spawnSync } from "node:child_process";
import { appendFileSync, closeSync, mkdtempSync, openSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { describe, type TestContext, test } from "node:test";

type Check = {
  /** How to get it, as a phrase. */
  readonly enable: string;
  readonly isMet: () => boolean;
  /**
   * Why ROMA_TEST_REQUIRE=all does not demand it: this kernel or container cannot, or it takes too long
   * for every run. It is named as left out then; a list that names it demands it all the same.
   */
  readonly excuse?: () => string | undefined;
};

const checks = {
  root: { enable: "run the tests as root", isMet: () => process.getuid?.() === 0 },
  tmpfs: { enable: "run as root, with the right to mount", isMet: canMountTmpfs },
  strace: {
    enable: "apt-get install strace, with the right to trace",
    isMet: () => succeeds("strace", ["-o", "/dev/null", "true"]),
  },
  nginx: { enable: "apt-get install nginx-light", isMet: () => succeeds("nginx", ["-v"]) },
  prometheus: {
    enable: "apt-get install prometheus",
    isMet: () => hasPrograms("prometheus promtool"),
  },
  aiosmtpd: {
    enable: "apt-get install python3-aiosmtpd",
    isMet: () => succeeds("/usr/bin/python3", ["-c", "import aiosmtpd"]),
  },
  curl: { enable: "apt-get install curl", isMet: () => succeeds("curl", ["--version"]) },
  chromium: {
    enable: "apt-get install chromium",
    isMet: () => hasPrograms("/usr/bin/chromium"),
  },
  firefox: { enable: "apt-get install firefox-esr", isMet: () => hasPrograms("firefox-esr") },
  ceph: {
    enable: "apt-get install ceph-mon ceph-mgr ceph-osd ceph-mds radosgw ceph-fuse",
    isMet: () => hasPrograms("ceph-mon ceph-mgr ceph-osd ceph-mds radosgw ceph-fuse"),
  },
  moosefs: {
    enable: "apt-get install moosefs-master moosefs-chunkserver moosefs-client iproute2",
    isMet: () => hasPrograms("mfsmaster mfschunkserver mfsmount ip"),
  },
  minio: {
    enable: "put minio on the PATH, or run test/services/minio.sh build where Go is",
    isMet: () => succeeds(join(import.meta.dirname, "services/minio.sh"), ["path"]),
    excuse: () => (hasPrograms("go") ? undefined : "no Go here to build it with"),
  },
  openssl: { enable: "apt-get install openssl", isMet: () => succeeds("openssl", ["version"]) },
  s3cmd: { enable: "apt-get install s3cmd", isMet: () => succeeds("s3cmd", ["--version"]) },
  rclone: { enable: "apt-get install rclone", isMet: () => succeeds("rclone", ["version"]) },
  s3fs: { enable: "apt-get install s3fs", isMet: () => hasPrograms("s3fs") },
  "python-clients": {
    enable: "run test/s3-clients/python/environment.sh build, with python3 and python3-venv",
    isMet: () => succeeds(join(import.meta.dirname, "s3-clients/python/environment.sh"), ["path"]),
  },
  next: {
    enable: "run test/examples/next/environment.sh build",
    isMet: () => succeeds(join(import.meta.dirname, "examples/next/environment.sh"), ["path"]),
  },
  postgres: {
    enable: "apt-get install postgresql",
    isMet: () => hasPrograms("/usr/lib/postgresql/*/bin/postgres"),
  },
  parse: {
    enable: "run test/parse/environment.sh build, with npm and its registry",
    isMet: () => succeeds(join(import.meta.dirname, "parse/environment.sh"), ["path"]),
  },
  fuse: {
    enable: "run as root, with /dev/fuse and the right to mount",
    isMet: () => canMountTmpfs() && canOpen("/dev/fuse"),
    excuse: () => (isRootWithout(() => canOpen("/dev/fuse")) ? "no FUSE here" : noMounts()),
  },
  loop: {
    enable: "run as root, with loop devices, e2fsprogs and the right to mount",
    isMet: () => canMountTmpfs() && hasPrograms("mkfs.ext4 losetup") && hasLoopDevices(),
    excuse: () => (isRootWithout(hasLoopDevices) ? "no loop devices here" : noMounts()),
  },
  namespaces: {
    enable: "run as root, with the right to make network namespaces",
    isMet: canMakeNamespaces,
    excuse: () => (isRootWithout(canMakeNamespaces) ? "no network namespaces here" : undefined),
  },
  systemd: {
    enable: "apt-get install systemd, and run as root, with the right to make namespaces",
    isMet: () => hasPrograms("/lib/systemd/systemd systemctl nsenter") && canBootSystemd(),
    excuse: () => (isRootWithout(canBootSystemd) ? "no namespaces of processes here" : undefined),
  },
  tini: { enable: "apt-get install tini", isMet: () => hasPrograms("tini") },
  large: {
    enable: "set TEST_STORAGES_LARGE=1",
    isMet: () => ["1", "all"].includes(process.env.TEST_STORAGES_LARGE ?? ""),
    excuse: () => "it takes long",
  },
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
  if (has(prerequisite)) return true;

  const check: Check = checks[prerequisite];
  const required = (process.env.ROMA_TEST_REQUIRE ?? "").split(",");
  const excuse = check.excuse?.();
  const enable = excuse === undefined ? check.enable : `${check.enable}; ${excuse}`;
  const reason = `needs ${prerequisite} (${enable})`;
  if (required.includes(prerequisite) || (required.includes("all") && excuse === undefined)) {
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

/** Defines tests that all need the same; where it is missing, one test that says so stands for them. */
export function describeWhere(
  prerequisites: readonly Prerequisite[],
  name: string,
  define: () => void,
): void {
  const missing = prerequisites.find((prerequisite) => !has(prerequisite));
  if (missing === undefined) {
    describe(name, define);
    return;
  }
  test(name, (t) => {
    requirePrerequisite(t, missing);
  });
}

function has(prerequisite: Prerequisite): boolean {
  let isMet = answers.get(prerequisite);
  if (isMet === undefined) {
    isMet = checks[prerequisite].isMet();
    answers.set(prerequisite, isMet);
  }
  return isMet;
}

function succeeds(command: string, args: readonly string[]): boolean {
  return spawnSync(command, args, { stdio: "ignore", timeout: 30_000 }).status === 0;
}

function hasPrograms(names: string): boolean {
  return succeeds("bash", ["-c", `PATH=$PATH:/usr/sbin:/sbin; type ${names}`]);
}

function canOpen(device: string): boolean {
  try {
    closeSync(openSync(device, "r+"));
    return true;
  } catch {
    return false;
  }
}

function hasLoopDevices(): boolean {
  return succeeds("bash", ["-c", "PATH=$PATH:/usr/sbin:/sbin; losetup --find"]);
}

function canMakeNamespaces(): boolean {
  return succeeds("unshare", ["--net", "true"]);
}

/** It manages control groups of its own, and mounts. */
function canBootSystemd(): boolean {
  const namespaces = ["--fork", "--pid", "--mount-proc", "--mount", "--uts", "--ipc", "--cgroup"];
  return canMountTmpfs() && succeeds("unshare", [...namespaces, "true"]);
}

/** True where root itself cannot: then nothing that is installed would help. */
function isRootWithout(isPossible: () => boolean): boolean {
  return checks.root.isMet() && !isPossible();
}

function noMounts(): string | undefined {
  return isRootWithout(canMountTmpfs) ? "no right to mount here" : undefined;
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
