/** Options of the guards: how much room is kept on disks, how much memory buffers take, how many descriptors are spared. */
import { z } from "zod";
import { bytes, duration } from "../config/index.ts";

const share = z.number().min(0).max(0.9);
const inodes = z.int().min(0).max(1_000_000_000);

export const diskConfig = z
  .strictObject({
    softShare: share
      .default(0.15)
      .describe(
        "free share of a file system, of bytes or of inodes, below which it is told and the sweeper removes what is due; " +
          "whichever of this and softBytes, or softInodes, is less",
      ),
    softBytes: bytes().default("5 GiB").describe("free bytes below which the same happens"),
    softInodes: inodes.default(50_000).describe("free inodes below which the same happens"),
    hardShare: share
      .default(0.05)
      .describe(
        "free share of a file system below which no new bytes are taken (507, Retry-After), while reads and deletes go " +
          "on; whichever of this and hardBytes, or hardInodes, is less",
      ),
    hardBytes: bytes().default("1 GiB").describe("free bytes below which the same happens"),
    hardInodes: inodes.default(10_000).describe("free inodes below which the same happens"),
    interval: duration({ min: "50 ms", max: "1 h" })
      .default("5 s")
      .describe("time between two looks at the file systems; a refusal looks again by itself"),
    ballastBytes: bytes({ max: "64 GiB" })
      .default("64 MiB")
      .describe(
        "file `ballast` in the data folder that is removed when the metadata's disk is full, so that deletes and the " +
          "audit log go on, and made again when there is room; 0: none",
      ),
  })
  .superRefine((config, context) => {
    for (const unit of ["Share", "Bytes", "Inodes"] as const) {
      if (config[`hard${unit}`] <= config[`soft${unit}`]) continue;
      context.addIssue({
        code: "custom",
        path: [`hard${unit}`],
        message: `must not be greater than soft${unit}`,
      });
    }
  });

export const memoryConfig = z.strictObject({
  buffersShare: z
    .number()
    .min(0.05)
    .max(0.8)
    .default(0.25)
    .describe(
      "share of this worker's part of the memory group's quota that buffers for bytes on their way may take, all " +
        "together; half of it, at most 64 MiB, for parts on their way to storages of the S3 family",
    ),
  buffersBytes: bytes({ min: "24 MiB", max: "64 GiB" })
    .optional()
    .describe(
      "the same as a size. Left out: the share of the quota; without a quota an eighth of the machine's memory, divided by " +
        "the workers, and 1 GiB at most",
    ),
  waitMsMax: duration({ min: "0 ms", max: "60 s" })
    .default("1 s")
    .describe(
      "how long a new request waits for memory, its body unread, before it is refused with 503 and Retry-After",
    ),
});

export const descriptorsConfig = z.strictObject({
  reserve: z
    .int()
    .min(0)
    .max(100_000)
    .default(64)
    .describe(
      "file descriptors that are left for logs, health and the metadata store, a quarter of the limit at most: with " +
        "fewer free ones requests are refused with 503 and idle connections closed, with half of them connections too",
    ),
});

export type DescriptorsConfig = z.output<typeof descriptorsConfig>;

export type MemoryConfig = z.output<typeof memoryConfig>;

export type DiskConfig = z.output<typeof diskConfig>;
