import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { ownCpuQuota, ownMemoryGroup } from "./memory-group.ts";

const gibibyte = 2 ** 30;

/** A machine's files, as far as they matter. */
async function machine(t: TestContext, files: Readonly<Record<string, string>>): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), "roma-test-"));
  t.after(() => rm(root, { recursive: true }));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

test("version 2: the least quota of the group and its parents, and its own kills", async (t) => {
  const root = await machine(t, {
    "proc/self/cgroup": "0::/system.slice/roma.service\n",
    "proc/self/mountinfo":
      "30 23 0:27 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n",
    "sys/fs/cgroup/system.slice/memory.max": "536870912\n",
    "sys/fs/cgroup/system.slice/roma.service/memory.max": "max\n",
    "sys/fs/cgroup/system.slice/roma.service/memory.events":
      "low 0\nhigh 3\nmax 9\noom 2\noom_kill 2\n",
    "sys/fs/cgroup/system.slice/roma.service/memory.oom.group": "1\n",
  });
  const group = ownMemoryGroup({ root, memoryBytes: 8 * gibibyte });
  assert.equal(group.quotaBytes, 536_870_912);
  assert.equal(group.kills(), 2);
  assert.equal(group.killsAll, true);
});

test("version 1 in a container, whose hierarchy is mounted from its own group on", async (t) => {
  const root = await machine(t, {
    "proc/self/cgroup": "9:name=systemd:/docker/ab\n4:cpu,memory:/docker/ab\n0::/docker/ab\n",
    "proc/self/mountinfo": [
      "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw",
      "35 31 0:32 /docker/ab /sys/fs/cgroup/mem\\040ory ro shared:9 - cgroup cgroup rw,cpu,memory",
    ].join("\n"),
    "sys/fs/cgroup/mem ory/memory.limit_in_bytes": "209715200\n",
    "sys/fs/cgroup/mem ory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n",
  });
  const group = ownMemoryGroup({ root, memoryBytes: 8 * gibibyte });
  assert.equal(group.quotaBytes, 209_715_200);
  assert.equal(group.kills(), 7);
  assert.equal(group.killsAll, false);
});

test("a limit above the machine's memory is none, and where there are no groups nobody counts", async (t) => {
  const unlimited = await machine(t, {
    "proc/self/cgroup": "4:memory:/\n",
    "proc/self/mountinfo": "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
  });
  assert.equal(ownMemoryGroup({ root: unlimited, memoryBytes: gibibyte }).quotaBytes, undefined);
  const group = ownMemoryGroup({ root: await machine(t, {}) });
  assert.deepEqual([group.quotaBytes, group.kills()], [undefined, undefined]);
});

test("the quota of CPU, of version 1 and 2, is the least of the group and its parents", async (t) => {
  const one = await machine(t, {
    "proc/self/cgroup": "1:cpu,cpuacct:/a/b\n",
    "proc/self/mountinfo": "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n",
    "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "150000\n",
    "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000\n",
    "sys/fs/cgroup/cpu/a/b/cpu.cfs_quota_us": "-1\n",
    "sys/fs/cgroup/cpu/a/b/cpu.cfs_period_us": "100000\n",
  });
  assert.equal(ownCpuQuota({ root: one }), 1.5);
  const two = await machine(t, {
    "proc/self/cgroup": "0::/a\n",
    "proc/self/mountinfo": "30 23 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
    "sys/fs/cgroup/a/cpu.max": "max 100000\n",
  });
  assert.equal(ownCpuQuota({ root: two }), undefined);
});
