/** A supervisor as the whole of its process: signals in, an exit code out. */
import type { Log } from "../core/ports/log.ts";
import { Supervisor, type SupervisorOptions } from "./supervisor.ts";

export interface RunOptions extends SupervisorOptions {
  readonly log: Log;
  /** Throws when what the workers would read now is wrong; nothing is replaced then. */
  readonly checkConfig: () => void;
  /** Writes the last lines, bounded; false when a write hangs. */
  readonly endLog: () => Promise<boolean>;
}

const signalNumbers: Readonly<Partial<Record<NodeJS.Signals, number>>> = { SIGINT: 2, SIGTERM: 15 };

/**
 * Ends the process, when all workers have: SIGTERM and SIGINT in order, a second one at once. SIGHUP
 * replaces the workers one by one; SIGUSR2 has the one with the largest heap write it down.
 */
export async function runSupervisor(options: RunOptions): Promise<never> {
  const { log, checkConfig, endLog } = options;
  const supervisor = new Supervisor(options);
  let told: NodeJS.Signals | undefined;
  const onStop = (signal: NodeJS.Signals): void => {
    if (told === undefined) {
      told = signal;
      log.info({ signal }, "stopping");
      supervisor.stop();
    } else {
      supervisor.kill();
      endBy(signal);
    }
  };
  process.on("SIGINT", onStop).on("SIGTERM", onStop);
  process.on("SIGUSR2", () => supervisor.dump("heap-snapshot"));
  process.on("SIGHUP", () => {
    try {
      checkConfig();
    } catch (error) {
      log.error({ err: error }, "nothing is replaced: the configuration is wrong now");
      return;
    }
    void supervisor.roll();
  });
  supervisor.start();
  const { code, forced } = await supervisor.outcome;
  if (told !== undefined) log.info({}, "stopped");
  const written = await endLog();
  if (forced && told !== undefined) endBy(told);
  // `process.exit` would wait for the thread of that write.
  if (!written) process.kill(process.pid, "SIGKILL");
  // Not by itself: a process that cannot end may be among those that were started.
  process.exit(code);
}

/** As the signal does where nobody listens; process 1 of a container is spared that, so with its code. */
function endBy(signal: NodeJS.Signals): never {
  process.removeAllListeners(signal);
  if (process.pid !== 1) process.kill(process.pid, signal);
  process.exit(128 + (signalNumbers[signal] ?? 0));
}
