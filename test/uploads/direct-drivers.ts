/** Bare drivers for the tests of direct uploads: an emulated vendor, or a bucket of its own at a service. */
import { randomUUID } from "node:crypto";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import { Agent } from "undici";
import { Secret } from "../../packages/server/src/config/index.ts";
import { s3Config } from "../../packages/server/src/storage/s3/config.ts";
import { openS3Storage } from "../../packages/server/src/storage/s3/driver.ts";
import {
  Emulator,
  type EmulatorOptions,
} from "../../packages/server/src/storage/s3/emulator/testing.ts";
import type { Vendor } from "../../packages/server/src/storage/s3/providers.ts";
import { cleanUp } from "../harness/cleanup.ts";
import type { Service } from "../storages/service.ts";
import type { OpenDriver } from "./direct.ts";

export const emulated =
  (options: EmulatorOptions): OpenDriver =>
  async (t) => {
    const emulator = await new Emulator(options).listen();
    cleanUp(t, () => emulator[Symbol.asyncDispose]());
    const { endpoint, region, bucket, lookup, key } = emulator;
    const { vendor = "aws-s3", signature = "s3" } = options;
    const settings = s3Config.parse({ vendor, signature, endpoint, region, bucket, ...key });
    const driver = openS3Storage({ id: "store", ...settings, lookup });
    return { driver, dispatcher: new Agent({ connect: { lookup } }) };
  };

/** `prefix` is that of the service's values, as in CEPH_S3_ENDPOINT. */
export const atService =
  (given: {
    readonly vendor: Vendor;
    readonly service: Service;
    readonly prefix: string;
    /** Beside the others. */
    readonly settings?: (endpoint: string) => object;
  }): OpenDriver =>
  async () => {
    const value = (key: string): string => given.service.value(`${given.prefix}_${key}`);
    const bucket = `roma-${randomUUID()}`;
    const at = { endpoint: value("ENDPOINT"), region: value("REGION") };
    const accessKeyId = value("ACCESS_KEY");
    const secretAccessKey = value("SECRET_KEY");
    const credentials = { accessKeyId, secretAccessKey };
    const client = new S3Client({ ...at, credentials, forcePathStyle: true });
    await client.send(new CreateBucketCommand({ Bucket: bucket }));
    client.destroy();
    const settings = s3Config.parse({
      ...{ vendor: given.vendor, ...at, bucket, accessKeyId, secretAccessKey },
      ...given.settings?.(at.endpoint),
    });
    return {
      driver: openS3Storage({
        ...{ id: "store", ...settings },
        secretAccessKey: new Secret(secretAccessKey),
      }),
    };
  };
