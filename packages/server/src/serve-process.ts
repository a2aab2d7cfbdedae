/**
 * A process that serves: alone, or as a worker of a supervisor. The one place of a serving process that
 * touches signals, exit codes and standard streams.
 */
import { existsSync } from "node:fs";
import { ConfigError, processEnvironment } from "./config/index.ts";
import { isOperationalError } from "./core/errors.ts";
import type { Log } from "./core/ports/log.ts";
import { createServerLog, type ServerLog } from "./logging/index.ts";
import { type RunningServer, startServer } from "./server.ts";
import { debugFolder, type ServerConfig } from "./server-config.ts";
import { type DumpOptions, Dumps } from "./supervisor/dumps.ts";
import { memorySample, type WorkerLink } from "./supervisor/worker-link.ts";

/** After all is closed, for what still runs. */
const endMsMax = 3_000;
/** For the last lines, when whoever reads them is slow. */
const logEndMsMax = 1_000;
/** Clients that keep connections open learn with their next answer that this one ends. */
const goodbyeMsMax = 5_000;

/** One process without a supervisor. Resolves when the server has stopped; the exit code is set. */
export async function serveAlone(config: ServerConfig): Promise<void> {
  const log = createServerLog(config.log);
  const server = await start(config, log);
  if (server === undefined) return;
  // Before the greeting: who waits for it may stop the server right away.
  const stopping = stopped(log);
  await using _dumps = await openDumps(config, { log, slot: 1, announceSilence: () => {} });
  greet(server, config, process.pid);
  const signal = await stopping;
  await server.close();
  log.info({}, "stopped");
  endAnyway(signal, config.log);
  endWhenIdle();
  await log.end(logEndMsMax);
}

/** Serves until the supervisor has this worker leave. Which waits no longer than it likes. */
export async function serveAsWorker(config: ServerConfig, link: WorkerLink): Promise<void> {
  const log = createServerLog(config.log);
  const { siblings, serverName, recycle, connections } = link;
  const server = await start(config, log, { siblings, serverName, recycle, connections });
  if (server === undefined) {
    await log.end(logEndMsMax);
    // What was opened is closed; a call that hangs must not keep a worker that serves nothing.
    process.exit();
  }
  const { slot, announceSilence } = link;
  await using dumps = await openDumps(config, { log, slot, announceSilence });
  link.onDump((kind) => dumps.onAsked(kind));
  link.ready(async () => ({
    ...memorySample(),
    ...(await server.activity()),
    connections: connections.count,
  }));
  // After the supervisor knows: who waits for the greeting may send it a signal right away.
  if (link.greets) greet(server, config, process.ppid);
  const reason = await link.retired;
  connections.leave();
  siblings.beginStop();
  await connections.settle();
  if (reason === "replaced") {
    server.sayGoodbye();
    await connections.none(Math.min(goodbyeMsMax, config.drain));
  }
  await server.close();
  await log.end(logEndMsMax);
  // Expected from here on: no end of the process with the supervisor.
  link.close();
  endWhenIdle();
}

async function openDumps(
  config: ServerConfig,
  ofProcess: Pick<DumpOptions, "log" | "slot" | "announceSilence">,
): Promise<Dumps> {
  const dumps = new Dumps({ folder: debugFolder(config), limits: config.debug, ...ofProcess });
  process.on("SIGUSR2", () => dumps.onAsked("heap-snapshot"));
  await dumps.listen();
  return dumps;
}

async function start(
  config: ServerConfig,
  log: ServerLog,
  parts: Partial<Parameters<typeof startServer>[1]> = {},
): Promise<RunningServer | undefined> {
  try {
    return await startServer(config, { log, environment: processEnvironment(), ...parts });
  } catch (error) {
    log.error({ err: error }, "start failed");
    fail(error);
    return undefined;
  }
}

/** `pid` is whom to signal. */
function greet(server: RunningServer, config: ServerConfig, pid: number): void {
  const { url, opsUrl, s3Url } = server;
  const listening = `roma listening on ${url}`;
  const { hostname, port } = new URL(url);
  const fields = { host: hostname, port: Number(port), url, opsUrl, s3Url };
  if (config.log.format === "json") {
    // Whatever the level: scripts wait for this line.
    const line = { level: 30, time: Date.now(), pid, ...fields, msg: listening };
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
 * Once nothing runs any more. A process that ends by itself takes its environment apart, and there Node 26 was seen
 * to spin for ever.
 */
function endWhenIdle(): void {
  process.once("beforeExit", () => process.exit());
}

/**
 * A call that hangs on a mount keeps the process alive, and `process.exit` would wait for its thread;
 * only a signal does not.
 */
function endAnyway(signal: NodeJS.Signals, config: ServerConfig["log"]): void {
  const end = async (): Promise<void> => {
    const running = process.getActiveResourcesInfo();
    // The log has ended by now, so that a slow reader of it is not what the process hangs on.
    const log = createServerLog(config);
    log.warn({ signal, running }, "calls hang, as on a mount: the process ends without them");
    await log.end(logEndMsMax);
    process.kill(process.pid, signal);
  };
  setTimeout(() => void end(), endMsMax).unref();
}

/** Says why on stderr, and sets the exit code. */
export function fail(error: unknown): void {
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
