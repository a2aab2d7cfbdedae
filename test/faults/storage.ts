/**
 * Storages of the S3 family behind a fault proxy: an emulated AWS S3 and an emulated OSS in this
 * process, and a real server where TEST_S3_ENDPOINT names one (Ceph RGW unless TEST_S3_VENDOR names
 * another), each with a driver that takes the proxy for the storage.
 */
import { randomUUID } from "node:crypto";
import type { TestContext } from "node:test";
import { Secret } from "../../packages/server/src/config/index.ts";
import { systemClock } from "../../packages/server/src/core/ports/clock.ts";
import type { StorageDriver } from "../../packages/server/src/core/ports/storage-driver.ts";
import { type LayerOptions, withLayers } from "../../packages/server/src/storage/layers/stack.ts";
import { S3Client } from "../../packages/server/src/storage/s3/client.ts";
import { s3Config } from "../../packages/server/src/storage/s3/config.ts";
import { cachedCredentials } from "../../packages/server/src/storage/s3/credentials/credentials.ts";
import { staticCredentials } from "../../packages/server/src/storage/s3/credentials/sources.ts";
import { openS3Storage, type S3Options } from "../../packages/server/src/storage/s3/driver.ts";
import { Emulator } from "../../packages/server/src/storage/s3/emulator/testing.ts";
import { dialectOf, providers } from "../../packages/server/src/storage/s3/providers.ts";
import { cleanUp } from "../harness/cleanup.ts";
import { FaultProxy, type Upstream } from "./fault-proxy.ts";

export interface ProxiedStorage {
  readonly proxy: FaultProxy;
  /** Through the proxy, with all layers. */
  readonly driver: StorageDriver;
  /** Past the proxy and without layers: what really is there. */
  readonly direct: StorageDriver;
}

export type OpenProxied = (
  t: TestContext,
  layers?: LayerOptions,
  settings?: Partial<S3Options>,
) => Promise<ProxiedStorage>;

interface Target {
  readonly upstream: Upstream;
  readonly direct: S3Options;
  readonly through: (proxyPort: number) => S3Options;
}

const realVendor = process.env.TEST_S3_VENDOR ?? "ceph-rgw";

export const proxiedStorages: Readonly<Record<string, OpenProxied>> = {
  "an emulated AWS S3": opener((t) => emulated(t, "aws-s3")),
  "an emulated OSS with its own signature": opener((t) => emulated(t, "alibaba-oss")),
  ...(process.env.TEST_S3_ENDPOINT !== undefined && {
    [realVendor]: opener(real),
  }),
};

/** A breaker that never opens, for tests that look at what is behind it. */
export const neverOpen = {
  failuresMax: Number.MAX_SAFE_INTEGER,
  failureShareMax: 2,
};

function opener(target: (t: TestContext) => Promise<Target>): OpenProxied {
  return async (t, layers, settings) => {
    const { upstream, direct: directOptions, through } = await target(t);
    const proxy = await new FaultProxy(upstream).listen();
    const keyPrefix = `${randomUUID()}/`;
    const open = (options: S3Options) => openS3Storage({ ...options, ...settings, keyPrefix });
    const driver = withLayers(open(through(proxy.port)), layers);
    const direct = open(directOptions);
    cleanUp(t, async () => {
      // A body that a failed test left unread would hold up a polite end.
      const closing = driver[Symbol.asyncDispose]();
      await proxy[Symbol.asyncDispose]();
      await closing;
      await clear(direct);
      await direct[Symbol.asyncDispose]();
    });
    return { proxy, driver, direct };
  };
}

async function emulated(t: TestContext, vendor: "aws-s3" | "alibaba-oss"): Promise<Target> {
  const signature = vendor === "aws-s3" ? "s3" : "native";
  const emulator = await new Emulator({ vendor, signature }).listen();
  cleanUp(t, () => emulator[Symbol.asyncDispose]());
  const { accessKeyId, secretAccessKey } = emulator.key;
  const { region, bucket, lookup } = emulator;
  const at = (endpoint: string): S3Options => {
    const given = { vendor, signature, endpoint, region, bucket, accessKeyId, secretAccessKey };
    return { id: "s3", ...s3Config.parse(given), lookup };
  };
  return {
    upstream: { host: "127.0.0.1", port: Number(new URL(emulator.endpoint).port) },
    direct: at(emulator.endpoint),
    through: (port) => at(`http://storage.test:${port}`),
  };
}

let bucketMade: Promise<string> | undefined;

/** With TEST_S3_BUCKET, or a bucket that is made for this run. */
async function real(): Promise<Target> {
  const { TEST_S3_ENDPOINT = "", TEST_S3_BUCKET, TEST_S3_REGION: region } = process.env;
  const { TEST_S3_ACCESS_KEY: accessKeyId = "", TEST_S3_SECRET_KEY: secret = "" } = process.env;
  const optionsOf = (endpoint: string, bucket: string): S3Options => {
    const given = { vendor: realVendor, endpoint, region, bucket, accessKeyId };
    const secretAccessKey = new Secret(secret);
    return { id: "s3", ...s3Config.parse({ ...given, secretAccessKey: secret }), secretAccessKey };
  };
  bucketMade ??=
    TEST_S3_BUCKET === undefined
      ? createBucket(optionsOf(TEST_S3_ENDPOINT, `roma-${randomUUID()}`), { accessKeyId, secret })
      : Promise.resolve(TEST_S3_BUCKET);
  const bucket = await bucketMade;
  const { hostname, port } = new URL(TEST_S3_ENDPOINT);
  return {
    upstream: { host: hostname, port: Number(port || 80) },
    direct: optionsOf(TEST_S3_ENDPOINT, bucket),
    // Whatever name the storage has, the proxy is asked, and the signature is over that name.
    through: (proxyPort) => optionsOf(`http://127.0.0.1:${proxyPort}`, bucket),
  };
}

async function createBucket(
  options: S3Options,
  { accessKeyId, secret }: { readonly accessKeyId: string; readonly secret: string },
): Promise<string> {
  const provider = providers[options.vendor];
  const source = staticCredentials({ accessKeyId, secretAccessKey: secret });
  const client = new S3Client({
    ...options,
    region: options.region ?? provider.region ?? "us-east-1",
    dialect: dialectOf(provider, options.signature),
    credentials: cachedCredentials(source, { clock: systemClock }),
    clock: systemClock,
  });
  const { signal } = new AbortController();
  await client.read({ operation: "probe", method: "PUT", signal });
  await client.close();
  return options.bucket;
}

async function clear(driver: StorageDriver): Promise<void> {
  const { signal } = new AbortController();
  for await (const upload of driver.parts?.listPending("", { signal }) ?? []) {
    await driver.parts?.cancel(upload, { signal });
  }
  const heads = await Array.fromAsync(driver.list("", { signal }));
  await Promise.all(heads.map(({ key }) => driver.delete(key, { signal })));
}
