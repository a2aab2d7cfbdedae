/** `roma doctor`: would a server start here and serve, and what to do where it would not. */
import { writeSync } from "node:fs";
import type { Finding } from "@roma/server";
import type { Command } from "commander";
import type { Context } from "../context.ts";
import { printable } from "../text.ts";

interface Flags {
  readonly data?: string;
  readonly config?: string;
  readonly user?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

const help = `
Looks at the configuration, the permissions of all files as the service's user, limits, room, time, ports, the data's
format, and tries each storage. Beside a running server it asks that one. It makes and migrates nothing.

More options of \`roma serve\` follow --, as in: roma doctor --user roma -- --port 80

Exit codes: 0 nothing fails, 1 something does.`;

export function addDoctor(program: Command, context: Context): void {
  program
    .command("doctor")
    .summary("look whether a server can start and serve here, and say what to do")
    .option("--data <dir>", "the data folder; ROMA_DATA, or ./roma-data")
    .option("--config <file>", "the server's configuration")
    .option("--user <name>", "the user that the service runs as")
    .option("--quiet", "only what is not right")
    .option("--json", "one JSON object per line")
    .argument("[options...]", "of roma serve")
    .addHelpText("after", help)
    .action((options: readonly string[], flags: Flags) => run(context, options, flags));
}

async function run(context: Context, options: readonly string[], flags: Flags): Promise<void> {
  const { runDoctor, widenThreadPool } = await import("@roma/server");
  // Mounts that hang take a thread each.
  widenThreadPool();
  const { data, config, user, json, quiet } = flags;
  const argv = [
    ...(data === undefined ? [] : ["--data", data]),
    ...(config === undefined ? [] : ["--config", config]),
    ...options,
  ];
  const found = await runDoctor({ argv, user, signal: context.signal });
  for (const finding of found) {
    if (quiet === true && finding.outcome === "ok") continue;
    if (json === true) await context.printJson(finding);
    else await context.print(lineOf(finding));
  }
  const failed = found.filter(({ outcome }) => outcome === "fail").length;
  if (failed > 0) context.fail(new Error(`${failed} of ${found.length} checks fail`), "doctor");
  if (found.some(({ message }) => message.includes("does not answer"))) endAnyway(context);
}

function lineOf({ area, outcome, message, advice }: Finding): string {
  const line = `${outcome.padEnd(4)}  ${area.padEnd(13)}  ${printable(message)}`;
  return advice === undefined ? line : `${line}\n${" ".repeat(21)}→ ${printable(advice)}`;
}

/** A call that hangs on a mount holds the process at its exit for as long; only a signal does not wait. */
function endAnyway({ terminal }: Context): void {
  if (terminal.stdout !== process.stdout) return;
  setTimeout(() => {
    writeSync(2, "roma: calls hang, as on a mount: ended without them\n");
    process.kill(process.pid, "SIGKILL");
  }, 1_000).unref();
}
