#!/usr/bin/env -S node --max-semi-space-size=8
/**
 * The process around the command line: signals, pipes and the exit code. Loads what is needed only: for
 * `serve` it may be a supervisor, which stays small.
 */
import { setMaxListeners } from "node:events";

async function main(argv: readonly string[]): Promise<void> {
  if (argv[0] === "serve") {
    const { runServe } = await import("@roma/server/serve");
    return await runServe(argv.slice(1));
  }
  const { removeTemporaries } = await import("@roma/sdk/node");
  const { exitCodes } = await import("./failure.ts");
  const { runCommandLine } = await import("./program.ts");
  const { stdin, stdout, stderr, env } = process;
  const interruption = new AbortController();
  // Each transfer under way listens to it.
  setMaxListeners(0, interruption.signal);
  const interrupt = () => {
    if (interruption.signal.aborted) {
      // Asked twice: leave now, yet without half a file.
      removeTemporaries();
      process.exit(exitCodes.interrupted);
    }
    interruption.abort();
  };
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", interrupt);
  // The reader has gone, as `head` does: there is nobody to write for.
  stdout.on("error", (error) => {
    if ("code" in error && error.code === "EPIPE") {
      removeTemporaries();
      process.exit(exitCodes.ok);
    }
    throw error;
  });
  const { signal } = interruption;
  process.exitCode = await runCommandLine(argv, {
    stdin,
    stdout,
    stderr,
    env,
    cwd: process.cwd(),
    signal,
  });
  process.off("SIGINT", interrupt);
  process.off("SIGTERM", interrupt);
  // A refused upload may leave stdin open, whose writer may never end it.
  stdin.destroy();
}

await main(process.argv.slice(2));
