/** Options of operations: sweeping, and what uploads may take. */
import { z } from "zod";
import { duration } from "../config/index.ts";

export const sweeperConfig = z.strictObject({
  interval: duration({ min: "100 ms", max: "1 day" })
    .default("30 s")
    .describe("time between two sweeps"),
  age: duration({ min: "0 ms", max: "30 days" })
    .default("1 h")
    .describe("temporary files and unknown blobs younger than this are left alone"),
  orphanShareMax: z
    .number()
    .min(0)
    .max(1)
    .default(0.1)
    .describe("a sweep that would remove a greater share of the blobs it saw stops and reports"),
  orphansFree: z
    .int()
    .min(0)
    .max(1_000_000)
    .default(100)
    .describe("as many unknown blobs may be removed whatever their share"),
});

export const trashConfig = z.strictObject({
  keep: duration({ min: "0 ms", max: "3650 days" })
    .default("7 d")
    .describe(
      "how long deleted and replaced objects can be restored in buckets made from then on, unless they " +
        "say otherwise; 0 s: not at all",
    ),
  productionDeletesPerHour: z
    .int()
    .min(0)
    .max(1_000_000_000)
    .default(1_000)
    .describe(
      "objects that requests may delete in any hour in a bucket whose environment is production and " +
        "that does not say otherwise",
    ),
});

export const auditConfig = z.strictObject({
  keep: duration({ min: "1 day", max: "36500 days" })
    .default("400 days")
    .describe(
      "how long the audit log keeps a record, of about 0.5 KB for each change; what is older is " +
        "forgotten, and the log says so",
    ),
});

export const bulkDeleteConfig = z.strictObject({
  perSecond: z
    .int()
    .min(1)
    .max(100_000)
    .default(1_000)
    .describe("objects that a bulk delete deletes in a second at most"),
  perHour: z
    .int()
    .min(0)
    .max(1_000_000_000)
    .default(100_000)
    .describe("objects that all bulk deletes of the server delete in any hour; what is left waits"),
});

export const uploadsConfig = z.strictObject({
  openMax: z
    .int()
    .min(1)
    .max(10_000_000)
    .default(10_000)
    .describe("unfinished resumable uploads that one access key may have"),
  createsPerSecondMax: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(1_000)
    .describe(
      "resumable uploads that one access key may begin in a second; each worker has its share of them",
    ),
  tidyInterval: duration({ min: "100 ms", max: "1 h" })
    .default("5 s")
    .describe("time between two looks for uploads that expired or were left half done"),
});
