/** Options of overload protection: how much is worked on at once, how often clients may ask, how many bytes pass. */
import { z } from "zod";
import { duration } from "../../config/schema.ts";
import { parseBytes } from "../../config/units.ts";

const bandwidth = () =>
  z
    .union([z.literal("auto"), z.number(), z.string()])
    .transform((value, context) => {
      const bytes = value === "auto" ? "auto" : parseBytes(value);
      if (bytes !== undefined && bytes !== 0) return bytes;
      context.addIssue('must be a size like "100 MiB", in each second, or "auto"');
      return z.NEVER;
    })
    .meta({ unit: "bytes" })
    .optional();

const perSecond = () => z.number().min(0.01).max(1_000_000).optional();

export const overloadConfig = z.strictObject({
  workMax: z
    .int()
    .min(16)
    .max(100_000)
    .default(4096)
    .describe(
      "requests of one class that are worked on at once, at most; bodies that flow do not count. Fewer while the " +
        "process is too slow, down to workMin",
    ),
  workMin: z
    .int()
    .min(1)
    .max(100_000)
    .default(64)
    .describe("requests of one class that are worked on at once however slow the process is"),
  queueMax: z
    .int()
    .min(0)
    .max(100_000)
    .default(1024)
    .describe("requests of one class that wait to be worked on; more are refused at once"),
  queueMsMax: duration({ min: "0 ms", max: "10 s" })
    .default("75 ms")
    .describe("how long such a request waits before it is refused with 503"),
  keyRequestsPerSecondMax: perSecond().describe(
    "requests of one access key in each second, its grants included; more get 429. Left out: any number",
  ),
  addressRequestsPerSecondMax: perSecond().describe(
    "requests from one address in each second, as trusted proxies name it; more get 429. Left out: any number",
  ),
  addressConnectionsMax: z
    .int()
    .min(1)
    .max(1_000_000)
    .optional()
    .describe(
      "open connections of one address that is no trusted proxy; more are closed at once. Left out: any number",
    ),
  receivedBytesPerSecondMax: bandwidth().describe(
    "bytes of bodies received in each second, of all workers together; auto: linkShare of the fastest network card. " +
      "Left out: any number",
  ),
  sentBytesPerSecondMax: bandwidth().describe(
    "bytes of objects sent in each second, of all workers together; auto as for those received. Left out: any number",
  ),
  linkShare: z
    .number()
    .min(0.01)
    .max(1)
    .default(0.9)
    .describe("of a network card's speed, what auto takes"),
  controlShare: z
    .number()
    .min(0)
    .max(0.9)
    .default(0.05)
    .describe(
      "of the bandwidth, what is left to answers of administration; bodies up to 64 KiB count, and never wait",
    ),
});

export type OverloadConfig = z.output<typeof overloadConfig>;
