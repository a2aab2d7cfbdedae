// The kinds of storages that a server can open: a row for each driver.

import { isAbsolute } from "node:path";
import { z } from "zod";
import type { Clock } from "../core/ports/clock.ts";
import { posixConfig } from "./posix/config.ts";
import { openPosixStorage } from "./posix/driver.ts";
import { type StorageKind, storageKind } from "./registry/kinds.ts";
import { s3Config } from "./s3/config.ts";
import { openS3Storage } from "./s3/driver.ts";

export interface KindOptions {
  readonly clock: Clock;
  /** Where storages find keys that are not among their settings. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** File system calls at once on one mount. */
  readonly mountCallsMax?: number;
  /** Other workers of the server have the storages open as well. */
  readonly isShared?: boolean;
  /** Header `traceparent` for requests to storages; by default none is sent. */
  readonly traceparent?: (() => string | undefined) | undefined;
}

/** By the name of the driver. */
export function storageKinds({
  clock,
  environment,
  mountCallsMax: callsMax,
  isShared,
  traceparent,
}: KindOptions): ReadonlyMap<string, StorageKind> {
  return new Map([
    [
      "posix",
      storageKind({
        // A path that depends on where the server was started would lead elsewhere the next time.
        schema: posixConfig.extend({
          root: z.string().refine(isAbsolute, { error: "is not an absolute path" }),
        }),
        open: async ({ root, syncAfterRename }, { id, markerUuid }) => {
          const known = markerUuid === undefined ? { createMarker: true } : { uuid: markerUuid };
          const shared = { callsMax, isShared };
          const driver = await openPosixStorage({ id, root, syncAfterRename, ...shared, ...known });
          return { driver, mark: driver.mark };
        },
      }),
    ],
    [
      "s3",
      storageKind({
        schema: s3Config,
        open: async (config, { id }) => ({
          driver: openS3Storage({ ...config, id, clock, environment, traceparent }),
        }),
      }),
    ],
  ]);
}
