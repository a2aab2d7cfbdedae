/**
 * `roma serve`: reads the configuration, starts the server, greets, and stops in order when told to.
 * The one place that touches the process: signals, exit codes, standard streams.
 */
import { existsSync } from "node:fs";
import { destination, pino } from "pino";
import { ConfigError, loadConfig, processEnvironment, referenceText } from "./config/index.ts";
import { isOperationalError } from "./core/errors.ts";
import type { Log } from "./core/ports/log.ts";
import { type RunningServer, startServer } from "./server.ts";
import { type ServerConfig, serverConfig } from "./server-config.ts";
import { widenThreadPool } from "./thread-pool.ts";

/** After all is closed, for what still runs. */
const endMsMax = 3_000;

/** Variables that begin like ours and belong to the command line or the tests. */
const variablesIgnored = [
  "ROMA_ENDPOINT",
  "ROMA_ENV",
  "ROMA_KEY",
  "ROMA_TEST_REQUIRE",
  "ROMA_TEST_SEED",
];

/** Resolves when the server has stopped; the exit code is set. `argv` is what follows `serve`. */
export async function runServe(argv: readonly string[]): Promise<void> {
  widenThreadPool();
  surviveBrokenStreams();
  if (argv.includes("--help") || argv.includes("-h")) {
    process.stdout.write(`roma serve [options]\n\n${referenceText(serverConfig)}\n`);
    return;
  }
  let config: ServerConfig;
  try {
    config = loadServerConfig(argv);
  } catch (error) {
    return fail(error);
  }
  const log = createLog(config);
  let server: RunningServer;
  try {
    server = await startServer(config, { log, environment: processEnvironment() });
  } catch (error) {
    log.error({ err: error }, "start failed");
    return fail(error);
  }
  // Before the greeting: who waits for it may stop the server right away.
  const stopping = stopped(log);
  greet(server, config);
  const signal = await stopping;
  await server.close();
  log.info({}, "stopped");
  endAnyway(signal, log);
}

/** All problems of a configuration, or none. For `roma config check`. */
export function checkConfig(
  path: string,
): readonly { readonly path: string; readonly message: string }[] {
  try {
    loadConfig(serverConfig, { argv: ["--config", path], env: {}, variablesIgnored });
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}

export function loadServerConfig(argv: readonly string[]): ServerConfig {
  return loadConfig(serverConfig, { argv, variablesIgnored });
}

function createLog(config: ServerConfig): Log {
  const { level, format } = config.log;
  const stream = destination({ dest: format === "json" ? 1 : 2, sync: true });
  // Losing a line is better than losing the service: a full disk or a closed pipe stops nothing.
  stream.on("error", () => {});
  return pino(
    { level, redact: ["secret", "authorization", "*.secret", "*.authorization"] },
    stream,
  );
}

function greet(server: RunningServer, config: ServerConfig): void {
  const { url, opsUrl, s3Url } = server;
  const listening = `roma listening on ${url}`;
  const { hostname, port } = new URL(url);
  const fields = { host: hostname, port: Number(port), url, opsUrl, s3Url };
  if (config.log.format === "json") {
    // Whatever the level: scripts wait for this line.
    const line = { level: 30, time: Date.now(), pid: process.pid, ...fields, msg: listening };
    process.stdout.write(`${JSON.stringify(line)}\n`);
    return;
  }
  const { rootKey } = server;
  const lines = [`Roma keeps its data in ${config.data}; operations on ${opsUrl}`];
  if (s3Url !== undefined) lines.push(`S3 alone on ${s3Url}`);
  if (rootKey.newSecret !== undefined) {
    lines.push(
      "",
      `access key  ${rootKey.id}`,
      `secret      ${rootKey.newSecret}`,
      `(shown this once; kept in ${rootKey.file ?? "the configuration"}, which only you can read)`,
      "",
      "Try it:",
      `  ${curlLine(server, rootKey.id, rootKey.newSecret)}`,
      "",
    );
  } else if (rootKey.file !== undefined) {
    lines.push(`The root key ${rootKey.id} is in ${rootKey.file}`);
  }
  process.stdout.write(`${lines.join("\n")}\n${listening}\n`);
}

/** A line that works when pasted: with a file that is there, or else with text from a pipe. */
function curlLine(server: RunningServer, id: string, secret: string): string {
  const bucket = `${server.url}/v1/objects/${server.newBucket ?? "demo"}`;
  const file = ["README.md", "package.json"].find((name) => existsSync(name));
  if (file !== undefined) return `curl -u ${id}:${secret} -T ${file} ${bucket}/${file}`;
  return `echo Hello, Roma | curl -u ${id}:${secret} -T - ${bucket}/hello.txt`;
}

/** Resolves at the first SIGINT or SIGTERM; a second one does not wait for the drain. */
async function stopped(log: Log): Promise<NodeJS.Signals> {
  const { promise, resolve } = Promise.withResolvers<NodeJS.Signals>();
  const onSignal = (signal: NodeJS.Signals) => resolve(signal);
  process.once("SIGINT", onSignal).once("SIGTERM", onSignal);
  const signal = await promise;
  log.info({ signal }, "stopping");
  // Without listeners the next signal ends the process at once, whatever hangs.
  process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
  return signal;
}

/**
 * A call that hangs on a mount keeps the process alive, and `process.exit` would wait for its thread;
 * only a signal does not.
 */
function endAnyway(signal: NodeJS.Signals, log: Log): void {
  const end = (): void => {
    const running = process.getActiveResourcesInfo();
    log.warn({ signal, running }, "calls hang, as on a mount: the process ends without them");
    process.kill(process.pid, signal);
  };
  setTimeout(end, endMsMax).unref();
}

function fail(error: unknown): void {
  const known = error instanceof ConfigError || isOperationalError(error) || isSystemError(error);
  const text = known
    ? (error as Error).message
    : String(error instanceof Error ? error.stack : error);
  process.stderr.write(`roma serve: ${text}\n`);
  process.exitCode = error instanceof ConfigError ? 2 : 1;
}

/** `EADDRINUSE`, `EACCES` and their kin: the message says what and where. */
function isSystemError(error: unknown): boolean {
  return error instanceof Error && "syscall" in error;
}

/** A closed terminal or a full disk under a redirected stream must not end the process. */
function surviveBrokenStreams(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
}
