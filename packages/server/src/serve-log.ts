/** The log of a process of `roma serve`. */
import { destination, pino } from "pino";
import type { Log } from "./core/ports/log.ts";
import type { LogConfig } from "./operations/config.ts";

export function createLog({ level, format }: LogConfig): Log {
  const stream = destination({ dest: format === "json" ? 1 : 2, sync: true });
  // Losing a line is better than losing the service: a full disk or a closed pipe stops nothing.
  stream.on("error", () => {});
  return pino(
    { level, redact: ["secret", "authorization", "*.secret", "*.authorization"] },
    stream,
  );
}
