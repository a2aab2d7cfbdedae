/** Options of the processes: how many, when one counts as hung, and what is written of them on demand. */
import { z } from "zod";
import { bytes, duration } from "../config/index.ts";

export const workersConfig = z
  .union([z.literal("auto"), z.int().min(0).max(64)])
  .default(1)
  .describe(
    "processes that serve requests, under a supervisor that replaces the dead; auto: one for each CPU " +
      "as far as memory holds them; 0: one process without a supervisor",
  );

export const supervisorConfig = z.strictObject({
  heartbeat: duration({ min: "2 s", max: "1 h" })
    .default("30 s")
    .describe("a worker whose event loop is silent for longer is killed and replaced"),
});

export const debugConfig = z.strictObject({
  folder: z
    .string()
    .min(1)
    .optional()
    .describe(
      "where heap snapshots, allocation profiles and reports are written, for their owner alone: they " +
        "show what is in memory, secrets too. Left out: debug in the data folder",
    ),
  filesMax: z.int().min(1).max(1_000).default(10).describe("files kept there; the oldest go first"),
  bytesMax: bytes({ min: "1 MiB", max: "1 TiB" })
    .default("2 GiB")
    .describe("size of all files there together; the oldest go first"),
  freeBytesMin: bytes({ max: "1 TiB" })
    .default("1 GiB")
    .describe("nothing is written there while the disk has less room than this left"),
});

export type DebugConfig = z.output<typeof debugConfig>;
