// The driver of the S3 family on a real server: the contract of drivers, and what then lies in the
// bucket, which is made and read with curl's own signature.

import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { before } from "node:test";
import { Secret } from "../../packages/server/src/config/index.ts";
import {
  describeStorageDriver,
  type OpenStorage,
} from "../../packages/server/src/storage/conformance.ts";
import { s3Config } from "../../packages/server/src/storage/s3/config.ts";
import { openS3Storage } from "../../packages/server/src/storage/s3/driver.ts";
import { providers, type Vendor } from "../../packages/server/src/storage/s3/providers.ts";
import { contentCases } from "./content.ts";
import type { Service } from "./service.ts";

/** `prefix` is that of the service's values, as in CEPH_S3_ENDPOINT. */
export function describeS3Storage(
  name: string,
  {
    vendor,
    service,
    prefix,
  }: { readonly vendor: Vendor; readonly service: Service; readonly prefix: string },
): void {
  const bucket = `roma-${randomUUID()}`;
  const value = (key: string): string => service.value(`${prefix}_${key}`);
  const curl = (...args: readonly string[]): string[] => [
    ...["curl", "--silent", "--show-error", "--fail"],
    ...["--aws-sigv4", `aws:amz:${value("REGION")}:s3`],
    ...["--user", `${value("ACCESS_KEY")}:${value("SECRET_KEY")}`],
    // This curl signs the header, but does not make it; Ceph refuses requests without it.
    ...["--header", "x-amz-content-sha256:UNSIGNED-PAYLOAD"],
    ...args,
  ];
  before(() => {
    const [program = "", ...args] = curl("--request", "PUT", `${value("ENDPOINT")}/${bucket}`);
    execFileSync(program, args);
  });

  const { partBytesMin } = providers[vendor];
  let keyPrefix = "";
  const open: OpenStorage = async (t) => {
    keyPrefix = `${randomUUID()}/`;
    const secret = value("SECRET_KEY");
    const settings = s3Config.parse({
      vendor,
      endpoint: value("ENDPOINT"),
      region: value("REGION"),
      bucket,
      keyPrefix,
      accessKeyId: value("ACCESS_KEY"),
      secretAccessKey: secret,
    });
    const reopen = async () => {
      const driver = openS3Storage({
        ...{ id: "s3", ...settings, secretAccessKey: new Secret(secret) },
        // As short as the vendor allows, so that a copy by ranges is a copy of little.
        ...{ copyBytesMax: partBytesMin, copyPartBytes: partBytesMin },
      });
      t.after(() => driver[Symbol.asyncDispose]());
      return driver;
    };
    return { driver: await reopen(), reopen };
  };
  describeStorageDriver(`s3 on ${name}`, open, { idleConnectionsMax: 16 });
  contentCases(name, {
    open,
    print: (key) => curl(`${value("ENDPOINT")}/${bucket}/${keyPrefix}${key}`).join(" "),
  });
}
