/** The sum of the modules' options: what a Roma server can be told. */
import { join } from "node:path";
import { environmentPattern } from "@roma/contract";
import { z } from "zod";
import { bytes, duration, secret } from "./config/index.ts";
import { descriptorsConfig, diskConfig, memoryConfig } from "./guards/index.ts";
import { httpConfig } from "./http/config.ts";
import { isPublicUrl } from "./http/public-url.ts";
import { logConfig } from "./logging/index.ts";
import { alertsConfig } from "./operations/alerts/config.ts";
import {
  auditConfig,
  bulkDeleteConfig,
  sweeperConfig,
  trashConfig,
  uploadsConfig,
} from "./operations/config.ts";
import { tracingConfig } from "./operations/tracing/config.ts";
import { parseConfig } from "./protocols/parse/config.ts";
import { restConfig } from "./protocols/rest/config.ts";
import { s3Config } from "./protocols/s3/config.ts";
import { debugConfig, supervisorConfig, workersConfig } from "./supervisor/config.ts";
import { brokenOrders } from "./time-limit-order.ts";

const options = z.strictObject({
  data: z
    .string()
    .min(1)
    .default("./roma-data")
    .describe("folder of the embedded metadata store, the local storage, and the keys"),
  host: z.string().min(1).default("127.0.0.1").describe("address to listen on"),
  port: z.int().min(0).max(65_535).default(8420).describe("port to listen on; 0 picks a free one"),
  opsPort: z
    .int()
    .min(0)
    .max(65_535)
    .default(8421)
    .describe("port of the operations listener (/livez, /readyz, /metrics); 0 picks a free one"),
  opsHost: z
    .string()
    .min(1)
    .optional()
    .describe("address of the operations listener; left out: host"),
  publicUrl: z
    .string()
    .refine(isPublicUrl, { error: "must be an http or https URL without a query" })
    .optional()
    .describe(
      "how clients reach this server, for absolute URLs in answers; may carry the path under which a " +
        "proxy offers it. Left out: as a trusted proxy says it, else as the request came",
    ),
  workers: workersConfig,
  environment: z
    .string()
    .regex(environmentPattern, {
      error: "must be 1 to 32 lower-case letters, digits and hyphens, beginning with a letter",
    })
    .optional()
    .describe(
      "label of the environment, like production. Data without one takes it; where the data or a storage " +
        "has another, the server starts read-only. Left out: the data's own",
    ),
  rootKey: secret().optional().describe("ID:SECRET of the key that may do everything"),
  sealingKey: secret()
    .optional()
    .describe(
      "64 hex digits; encrypts secrets at rest. Left out: the file seal.key in the data folder",
    ),
  maxObjectBytes: bytes({ max: "5 TiB" })
    .default("5 TiB")
    .describe("size of one object at most, under every bucket's own limit"),
  blobGrace: duration({ min: "0 ms", max: "7 days" })
    .default("1 min")
    .describe(
      "how long the bytes of a deleted or replaced object stay for readers that began before",
    ),
  drain: duration({ min: "0 ms", max: "1 h" })
    .default("10 s")
    .describe("how long a stop waits for requests that are under way"),
  http: httpConfig.prefault({}),
  rest: restConfig.prefault({}),
  s3: s3Config.prefault({}),
  parse: parseConfig.prefault({}),
  log: logConfig.prefault({}),
  memory: memoryConfig.prefault({}),
  descriptors: descriptorsConfig.prefault({}),
  disk: diskConfig.prefault({}),
  alerts: alertsConfig.prefault({}),
  tracing: tracingConfig.prefault({}),
  sweeper: sweeperConfig.prefault({}),
  uploads: uploadsConfig.prefault({}),
  trash: trashConfig.prefault({}),
  audit: auditConfig.prefault({}),
  bulkDelete: bulkDeleteConfig.prefault({}),
  supervisor: supervisorConfig.prefault({}),
  debug: debugConfig.prefault({}),
});

export const serverConfig = options.superRefine((config, { addIssue }) => {
  for (const { path, message } of brokenOrders(config)) {
    addIssue({ code: "custom", path: [...path], message });
  }
});

export type ServerConfig = z.output<typeof serverConfig>;
export type ServerConfigInput = z.input<typeof serverConfig>;

/** Defaults filled in, units read. Throws zod's error, which names each wrong option. */
export function parseServerConfig(input: ServerConfigInput): ServerConfig {
  return serverConfig.parse(input);
}

/** Where processes of such a server write down what is in them, and listen for who asks them to. */
export function debugFolder({ data, debug }: ServerConfig): string {
  return debug.folder ?? join(data, "debug");
}
