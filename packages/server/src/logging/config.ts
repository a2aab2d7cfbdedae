/** Options of the log: what is written, where to, and how much of it waits in memory. */
import { z } from "zod";
import { bytes } from "../config/index.ts";

export const logConfig = z.strictObject({
  level: z
    .enum(["debug", "info", "warn", "error", "silent"])
    .default("info")
    .describe(
      "least severe lines that are written; debug has one for each refusal, with its reason",
    ),
  format: z
    .enum(["text", "json"])
    .default("text")
    .describe(
      "text: a greeting on stdout, JSON log lines on stderr; json: JSON lines on stdout only",
    ),
  file: z
    .string()
    .min(1)
    .optional()
    .describe(
      "file that takes the lines too, made with mode 0640 and appended to; when it was renamed or removed, " +
        "as logrotate does, a new one is made by itself. What cannot be written is dropped and counted",
    ),
  requests: z
    .enum(["off", "debug", "info"])
    .default("debug")
    .describe("level of one line for each request that was answered; off: none"),
  bufferBytes: bytes({ min: "16 KiB", max: "256 MiB" })
    .default("1 MiB")
    .describe(
      "lines that may wait in memory for a slow reader of stdout or stderr, or for the file, each; " +
        "more are dropped and counted, and the service does not wait",
    ),
  lineBytesMax: bytes({ min: "1 KiB", max: "1 MiB" })
    .default("16 KiB")
    .describe("size of one line; a longer one keeps its beginning and says that it was cut"),
});

export type LogConfig = z.output<typeof logConfig>;
