/** Options of the REST protocol. */
import { z } from "zod";
import { duration } from "../../config/index.ts";

export const restConfig = z.strictObject({
  idempotencyKeep: duration({ min: "1 min", max: "30 days" })
    .default("24 h")
    .describe("how long the answer to a request with an Idempotency-Key is repeated"),
  idempotencyKeysMax: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(10_000)
    .describe("Idempotency-Keys of one access key that are remembered at once; more get 429"),
});
