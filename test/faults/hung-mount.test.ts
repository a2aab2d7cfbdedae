/**
 * A mount that hangs: a frozen file system holds every call that would change it, in the kernel and for
 * as long as it likes. Its callers are told in time, nobody else notices, and it comes back by itself.
 */
import { strict as assert } from "node:assert";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import {
  keysOf,
  leftOversOf,
  put,
  read,
  rejectsWith,
} from "../../packages/server/src/storage/conformance/subject.ts";
import { withLayers } from "../../packages/server/src/storage/layers/stack.ts";
import { openPosixStorage } from "../../packages/server/src/storage/posix/driver.ts";
import { Emulator } from "../../packages/server/src/storage/s3/emulator/testing.ts";
import { threadPoolSize, widenThreadPool } from "../../packages/server/src/thread-pool.ts";
import { cleanUp } from "../harness/cleanup.ts";
import { send } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { RunningTime } from "../harness/running-time.ts";
import { type ServerProcess, startServer, temporaryFolder } from "../harness/server-process.ts";
import { describeWhere } from "../prerequisites.ts";
import { useService } from "../storages/service.ts";
import { freeze, stuckThreads } from "./frozen.ts";

widenThreadPool();

const stuckPuts = 64;
const mountCalls = 16;
/** Of a usual answer, and of the slowest, which has the machine's other work in it: one that hangs comes never. */
const othersMs = 1_000;
const othersMsMax = 10_000;
/** Runs of others while nothing hangs. */
const usualRuns = 5;
/** Well before the mount's calls are told that they are stuck, which is after 20 s. */
const frozenMsMax = 6_000;

describeWhere(["loop"], "a mount that hangs", () => {
  const disk = useService("loop", { LOOP_BYTES: "48M" });

  test("64 stuck opens: each is told in time, another storage writes and reads within 1 s, and the storage is back with the mount", async (t) => {
    assert.ok((await threadPoolSize()) >= 2 * mountCalls);
    const answerMs = 3_000;
    const mountPoint = disk.value("LOOP_MOUNT");
    const open = async (id: string, folder: string) => {
      const root = await mkdtemp(join(folder, "storage-"));
      const driver = withLayers(await openPosixStorage({ id, root, createMarker: true }), {
        timeout: { answerMs, progressMs: answerMs },
        breaker: { openMsMin: 200, openMsMax: 400 },
      });
      cleanUp(t, async () => {
        await driver[Symbol.asyncDispose]();
        await rm(root, { recursive: true, force: true });
      });
      return driver;
    };
    const driver = await open("disk", mountPoint);
    const other = await open("other", tmpdir());
    await put(driver, "before", "x");
    await put(other, "before", "x");

    const ofOthers = () => Promise.all([read(other, "before"), put(other, "during", "y")]);
    const usual = await timesOf(ofOthers, (run) => run < usualRuns);
    const thaw = freeze(t, mountPoint);
    using running = new RunningTime();
    const puts = Array.from({ length: stuckPuts }, (_, index) =>
      rejectsWith("unavailable", put(driver, `stuck-${index}`, "x")),
    );
    let told = false;
    const allTold = Promise.all(puts).finally(() => {
      told = true;
    });
    await eventually("the mount's calls are stuck", () => stuckThreads("self") >= mountCalls);
    const others = await timesOf(ofOthers, (run) => run < usualRuns || !told);
    await allTold;
    const { ms } = running;
    assert.ok(ms < answerMs + 2_000, `the last was told after ${ms} ms`);
    await onlyItsShareIsStuck("self");
    assertAnswered(others, usual);

    thaw();
    await eventually("a put works again", async () => {
      return await put(driver, "after", "x").then(
        () => true,
        () => false,
      );
    });
    await eventually("what was given up leaves nothing", async () => {
      return (await leftOversOf(driver)).length === 0;
    });
    assert.deepEqual(await keysOf(driver), ["after", "before"]);
  });

  test("a server with 64 stuck uploads answers /livez and those of other storages within 1 s, ends what was stuck once the mount is back, and stops with a bound while it hangs", async (t) => {
    const mountPoint = disk.value("LOOP_MOUNT");
    const server = await startServer(t, { flags: ["--drain", "1s"] });
    await addStorage(server, "disk", posixAt(await mkdtemp(join(mountPoint, "server-"))));
    await addStorage(server, "other", posixAt(await temporaryFolder(t)));
    const far = await new Emulator({ vendor: "minio", secretAccessKey }).listen();
    cleanUp(t, () => far[Symbol.asyncDispose]());
    await addStorage(server, "far", namedS3(far));
    const at = (key: string): string => `/v1/objects/${key}`;

    let round = 0;
    const ofOthers = async () => {
      round += 1;
      // At once, so that connections are opened, and names looked up, all the while.
      const keys = ["other", "far", "demo"].flatMap((bucket) =>
        [1, 2, 3].map((number) => `${bucket}/${round}-${number}`),
      );
      await Promise.all([
        fetch(`${server.opsUrl}/livez`).then(({ status }) => assert.equal(status, 200)),
        ...keys.map(async (key) => {
          assert.equal((await send(server, "PUT", at(key), { body: key })).status, 201, key);
          assert.equal((await send(server, "GET", at(key))).body.toString(), key);
        }),
      ]);
    };
    const usual = await timesOf(ofOthers, (run) => run < usualRuns);
    let thaw = freeze(t, mountPoint);
    const frozenAt = performance.now();
    const puts = Array.from({ length: stuckPuts }, (_, index) =>
      send(server, "PUT", at(`disk/${index}`), { body: "x" }),
    );
    const outcomes = Promise.allSettled(puts);
    await eventually("the mount's calls are stuck", () => stuckThreads(server.pid) >= mountCalls);
    const runsMax = 20;
    const others = await timesOf(
      ofOthers,
      (run) => run === 0 || (run < runsMax && performance.now() - frozenAt < frozenMsMax),
    );
    await onlyItsShareIsStuck(server.pid);
    assertAnswered(others, usual);
    thaw();
    for (const put of await outcomes) {
      assert.equal(put.status === "fulfilled" && put.value.status, 201);
    }

    thaw = freeze(t, mountPoint);
    const cut = Promise.allSettled(
      Array.from({ length: mountCalls }, (_, index) =>
        send(server, "PUT", at(`disk/again-${index}`), { body: "x" }),
      ),
    );
    await eventually("calls are stuck again", () => stuckThreads(server.pid) >= mountCalls);
    const stopping = server.stop();
    const stopped = (): boolean => server.log.some(({ message }) => message === "stopped");
    await eventually("all is closed while the calls still hang", stopped);
    assert.ok(stuckThreads(server.pid) > 0);
    await cut;
    // The kernel gives the process up no sooner.
    thaw();
    await stopping;
  });
});

const secretAccessKey = "the-secret-of-a-storage-0123456789";

function posixAt(root: string): object {
  return { driver: "posix", root };
}

/** By a name that has to be looked up. */
function namedS3({ endpoint, region, bucket, key }: Emulator): object {
  const named = endpoint.replace("storage.test", "localhost");
  const common = { driver: "s3", vendor: "minio", endpoint: named, region, bucket };
  return { ...common, accessKeyId: key.accessKeyId, secretAccessKey };
}

/** The storage and a bucket of its name. */
async function addStorage(server: ServerProcess, id: string, settings: object): Promise<void> {
  const put = (path: string, value: object) =>
    send(server, "PUT", path, { body: JSON.stringify(value) });
  for (const { status, body } of [
    await put(`/v1/storages/${id}`, settings),
    await put(`/v1/buckets/${id}`, { placement: id }),
  ]) {
    assert.equal(status, 201, body.toString());
  }
}

/** Milliseconds of each run, not much more than may be, in ascending order. */
async function timesOf(
  run: () => Promise<unknown>,
  isOn: (run: number) => boolean,
): Promise<readonly number[]> {
  const times: number[] = [];
  while (isOn(times.length)) {
    const began = performance.now();
    await Promise.race([run(), delay(othersMsMax + 1_000, undefined, { ref: false })]);
    times.push(performance.now() - began);
    await delay(20);
  }
  return times.sort((a, b) => a - b);
}

/** Compared with the usual, on a machine that is slow at the time. */
function assertAnswered(times: readonly number[], usual: readonly number[]): void {
  const medianOf = (list: readonly number[]): number => list[Math.floor(list.length / 2)] ?? 0;
  const said = times.map((ms) => ms.toFixed()).join(" ");
  const medianMax = Math.max(othersMs, 5 * medianOf(usual));
  assert.ok(medianOf(times) < medianMax, `${said}, usually ${medianOf(usual).toFixed()}`);
  assert.ok((times.at(-1) ?? 0) < othersMsMax, said);
}

/** Others of the process's threads may wait for a disk at any time, for a moment. */
async function onlyItsShareIsStuck(pid: number | "self"): Promise<void> {
  const isSo = (): boolean => stuckThreads(pid) === mountCalls;
  await eventually("no more than the mount's share is stuck, and that is", isSo, 10_000);
}
