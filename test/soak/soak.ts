/**
 * Mixed traffic against a server with two workers while things go wrong, and a ledger of what was
 * acknowledged. In its first part workers are killed and replaced too; in its second they live, and
 * what they hold at its end is compared with what they held at its beginning.
 */
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { Emulator } from "../../packages/server/src/storage/s3/emulator/testing.ts";
import { FaultProxy } from "../faults/fault-proxy.ts";
import { assertMetadataSound, readUsage } from "../harness/data-folder.ts";
import { send } from "../harness/http-client.ts";
import { countDescriptors, eventually, residentBytes } from "../harness/process-usage.ts";
import { Random } from "../harness/random.ts";
import { ServerProcess } from "../harness/server-process.ts";
import { SoakClient } from "./client.ts";
import { injectFaults, workerPids } from "./faults.ts";
import { Ledger } from "./ledger.ts";

export interface SoakOptions {
  /** An empty folder for the server's data. */
  readonly data: string;
  readonly seconds: number;
  readonly clients: number;
  readonly workers: number;
  readonly seed: number;
  readonly print: (line: string) => void;
}

export interface Held {
  readonly pids: readonly number[];
  readonly descriptors: number;
  readonly residentBytes: number;
}

export interface SoakReport {
  readonly violations: readonly string[];
  readonly acknowledged: number;
  readonly refused: number;
  readonly unknown: number;
  /** How often each thing was done, answered or broken. */
  readonly counts: Readonly<Record<string, number>>;
  /** At the beginning and the end of the part in which no worker is killed; sums over the workers. */
  readonly before: Held;
  readonly after: Held;
}

/** Of all the time, with kills. */
const roughShare = 0.6;
const secret = "the-secret-of-a-storage-0123456789";

export async function runSoak(options: SoakOptions): Promise<SoakReport> {
  const { data, seconds, workers, seed, print } = options;
  const random = new Random(seed);
  const ledger = new Ledger();
  const counts = new Map<string, number>();
  const count = (what: string): void => {
    counts.set(what, (counts.get(what) ?? 0) + 1);
  };
  await using emulator = await new Emulator({ vendor: "minio", secretAccessKey: secret }).listen();
  const upstream = { host: "127.0.0.1", port: Number(new URL(emulator.endpoint).port) };
  await using proxy = await new FaultProxy(upstream).listen();
  const server = new ServerProcess(data, {
    flags: [
      ...["--workers", `${workers}`, "--sweeper-interval", "1 s", "--blob-grace", "5 s"],
      ...["--trash-keep", "0 s", "--uploads-tidy-interval", "5 s", "--s3-port", "0"],
    ],
  });
  try {
    await server.start();
    await connectStorage(server, { emulator, proxy });
    const clients = Array.from({ length: options.clients }, (_, index) => {
      const own = new Random(random.below(2 ** 32));
      const { url, s3Url } = server;
      return new SoakClient({ name: `c${index}`, url, s3Url, ledger, random: own, count });
    });
    const it = { server, proxy, random, note: (what: string) => count(`fault: ${what}`) };
    const traffic = (ms: number, isRough: boolean) => runTraffic(clients, it, { ms, isRough });
    await traffic(seconds * 1_000 * roughShare, true);
    await settle(server, proxy, workers);
    // What a fresh process takes only once belongs to the beginning.
    await traffic(seconds * 1_000 * (1 - roughShare) * 0.3, false);
    const before = await held(server, proxy, workers);
    await traffic(seconds * 1_000 * (1 - roughShare) * 0.7, false);
    const after = await held(server, proxy, workers);
    print("reading every key");
    await Promise.all(clients.map((client) => client.readEverything()));
    await server.stop();
    server.assertSound();
    assertMetadataSound(data);
    readUsage(data);
    const { violations, acknowledged, refused, unknown } = ledger;
    return {
      ...{ violations, acknowledged, refused, unknown },
      counts: Object.fromEntries([...counts].sort()),
      ...{ before, after },
    };
  } finally {
    await server.kill();
  }
}

async function connectStorage(
  server: ServerProcess,
  { emulator, proxy }: { readonly emulator: Emulator; readonly proxy: FaultProxy },
): Promise<void> {
  const { region, bucket } = emulator;
  const endpoint = `http://127.0.0.1:${proxy.port}`;
  const key = { accessKeyId: emulator.key.accessKeyId, secretAccessKey: secret };
  const settings = { driver: "s3", vendor: "minio", endpoint, region, bucket, ...key };
  const { status, body } = await send(server, "PUT", "/v1/storages/far", {
    body: JSON.stringify(settings),
  });
  assert.ok(status < 300, `the storage: ${status} ${body}`);
}

async function runTraffic(
  clients: readonly SoakClient[],
  it: Parameters<typeof injectFaults>[0],
  { ms, isRough }: { readonly ms: number; readonly isRough: boolean },
): Promise<void> {
  const stop = new AbortController();
  const { signal } = stop;
  const running = [
    ...clients.map((client) => client.run(signal)),
    injectFaults(it, { isRough, signal }),
  ];
  await Promise.race([delay(ms, undefined, { ref: false }), Promise.all(running)]);
  stop.abort();
  await Promise.all(running);
}

/** All workers are there, and what was broken is not. */
async function settle(server: ServerProcess, proxy: FaultProxy, workers: number): Promise<void> {
  proxy.fault = () => undefined;
  await eventually(
    `${workers} workers run and are ready`,
    async () => {
      if ((await workerPids(server)).length !== workers) return false;
      const answer = await fetch(`${server.opsUrl}/readyz`).catch(() => undefined);
      await answer?.body?.cancel();
      return answer?.status === 200;
    },
    60_000,
  );
}

/** When nothing has been asked for a while. */
async function held(server: ServerProcess, proxy: FaultProxy, workers: number): Promise<Held> {
  await settle(server, proxy, workers);
  await delay(3_000);
  const pids = await workerPids(server);
  const sum = async (of: (pid: number) => Promise<number>): Promise<number> =>
    (await Promise.all(pids.map(of))).reduce((one, other) => one + other, 0);
  return {
    pids,
    descriptors: await sum(countDescriptors),
    residentBytes: await sum(residentBytes),
  };
}
