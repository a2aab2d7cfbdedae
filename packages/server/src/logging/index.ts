// The log: lines that never stop or slow the service, with the ids of their requests and without secrets.

export { type LogConfig, logConfig } from "./config.ts";
export { currentRequest, traceIdOf } from "./request-context.ts";
export { logRequests } from "./request-lines.ts";
export { createServerLog, type ServerLog, type ServerLogOptions } from "./server-log.ts";
