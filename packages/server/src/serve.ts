/**
 * `roma serve`: reads the configuration, and runs a supervisor with its workers, or one process alone. Loads
 * no more than the supervisor needs, which stays small.
 */
import { availableParallelism, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import { ConfigError, loadConfig, referenceText } from "./config/index.ts";
import { createServerLog } from "./logging/server-log.ts";
import { type ServerConfig, serverConfig } from "./server-config.ts";
import {
  ownCpuQuota,
  ownMemoryGroup,
  planWorkers,
  runSupervisor,
  workerNodeFlags,
} from "./supervisor/index.ts";
import { widenThreadPool } from "./thread-pool.ts";

export { debugFolder } from "./server-config.ts";

/** What a worker may take to leave, over the drain: saying goodbye, cutting, closing. */
const leaveMs = 12_000;
/** For the supervisor's last lines, when whoever reads them is slow. */
const logEndMsMax = 1_000;

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
  surviveBrokenStreams();
  if (argv.includes("--help") || argv.includes("-h")) {
    process.stdout.write(`roma serve [options]\n\n${referenceText(serverConfig)}\n`);
    return;
  }
  let config: ServerConfig;
  try {
    config = loadServerConfig(argv);
    if (config.workers !== 0) return await supervise(config, argv);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`roma serve: ${error.message}\n`);
    process.exitCode = 2;
    return;
  }
  widenThreadPool();
  const { serveAlone } = await import("./serve-process.ts");
  await serveAlone(config);
}

async function supervise(config: ServerConfig, argv: readonly string[]): Promise<void> {
  const group = ownMemoryGroup();
  const plan = planWorkers(config.workers, {
    // Node counts a quota of version 2 only.
    cpus: Math.min(availableParallelism(), Math.ceil(ownCpuQuota() ?? Number.POSITIVE_INFINITY)),
    memoryBytes: totalmem(),
    quotaBytes: group.quotaBytes,
  });
  const log = createServerLog(config.log);
  if (!plan.roomForSuccessor) {
    const message =
      "the quota has no room for a successor beside the workers: replacing one may cost one";
    log.warn({ quotaBytes: group.quotaBytes, workers: plan.count }, message);
  }
  if (group.killsAll) {
    const hint = "memory.oom.group is 1: with Kubernetes, set singleProcessOOMKill of the kubelet";
    log.warn({ hint }, "when memory is used up the kernel will end the supervisor as well");
  }
  await runSupervisor({
    program: {
      file: fileURLToPath(new URL("./worker.ts", import.meta.url)),
      args: argv,
      nodeFlags: workerNodeFlags(plan),
    },
    plan,
    group,
    log,
    heartbeatMs: config.supervisor.heartbeat,
    leaveMsMax: config.drain + leaveMs,
    endLog: () => log.end(logEndMsMax),
    // A changed file is read by each worker that starts from then on.
    checkConfig: () => void loadServerConfig(argv),
  });
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

/** A closed terminal or a full disk under a redirected stream must not end the process. */
function surviveBrokenStreams(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
}
