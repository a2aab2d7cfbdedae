/**
 * Public entry points: run a server as the command line does, or embed one.
 *
 * ```ts
 * widenThreadPool(); // before the first file is read: see there
 * const server = await startServer(parseServerConfig({ data: "./data", port: 0 }), { log });
 * console.log(server.url);
 * await server.close();
 * ```
 */
export { type AlertSent, sendTestAlert } from "./alert-test.ts";
export { ConfigError, Secret } from "./config/index.ts";
export { OperationalError } from "./core/errors.ts";
export { type Log, silentLog } from "./core/ports/log.ts";
export { type DoctorOptions, type Finding, runDoctor } from "./doctor.ts";
export {
  type LabelledData,
  type Relabelled,
  type Relabelling,
  readDataEnvironment,
  setDataEnvironment,
} from "./relabel.ts";
export { checkConfig, loadServerConfig, runServe } from "./serve.ts";
export { type RunningServer, type ServerParts, startServer } from "./server.ts";
export {
  parseServerConfig,
  type ServerConfig,
  type ServerConfigInput,
  serverConfig,
} from "./server-config.ts";
export { widenThreadPool } from "./thread-pool.ts";
