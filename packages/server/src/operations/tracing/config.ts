/** Options of traces. */
import { z } from "zod";
import { secret } from "../../config/index.ts";

const headerPattern =
  /^[!#$%&'*+.^_`|~0-9A-Za-z-]+=[^,\r\n]+(,[!#$%&'*+.^_`|~0-9A-Za-z-]+=[^,\r\n]+)*$/;

export const tracingConfig = z.strictObject({
  endpoint: z
    .string()
    .refine((text) => /^https?:$/.test(URL.parse(text)?.protocol ?? ""), {
      error: "must be an http or https URL",
    })
    .optional()
    .describe(
      "where traces go, by OTLP over HTTP with protobuf, like http://127.0.0.1:4318/v1/traces. Left out: there are none",
    ),
  headers: secret()
    .refine((value) => headerPattern.test(value.reveal()), {
      error: "must be NAME=VALUE, with commas between several",
    })
    .optional()
    .describe("headers for the receiver, NAME=VALUE with commas between"),
  ratio: z
    .number()
    .min(0)
    .max(1)
    .default(0.05)
    .describe("share of requests that are traced; whoever sends a traceparent decides for his own"),
  service: z
    .string()
    .min(1)
    .max(100)
    .default("roma")
    .describe("what the service is called in traces"),
  propagate: z
    .boolean()
    .default(false)
    .describe(
      "sends traceparent to storages of the S3 family; only where these are traced as well",
    ),
});

export type TracingConfig = z.output<typeof tracingConfig>;
