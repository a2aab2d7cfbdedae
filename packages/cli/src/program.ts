/** The command line as a function: arguments and a terminal in, an exit code out. */
import { readFileSync } from "node:fs";
import { isRomaError } from "@roma/sdk/node";
import { Command, CommanderError } from "commander";
import { addAlerts } from "./commands/alerts.ts";
import { addAudit } from "./commands/audit.ts";
import { addBucket } from "./commands/bucket.ts";
import { addBulkDelete } from "./commands/bulk-delete.ts";
import { addConfig } from "./commands/config.ts";
import { addDebug } from "./commands/debug.ts";
import { addDoctor } from "./commands/doctor.ts";
import { addDownload } from "./commands/download.ts";
import { addEnvironment } from "./commands/environment.ts";
import { addGrant } from "./commands/grant.ts";
import { addHold } from "./commands/hold.ts";
import { addKey } from "./commands/key.ts";
import { addLs } from "./commands/ls.ts";
import { addRm } from "./commands/rm.ts";
import { addServe } from "./commands/serve.ts";
import { addStat } from "./commands/stat.ts";
import { addStorage } from "./commands/storage.ts";
import { addTop } from "./commands/top.ts";
import { addTransfer } from "./commands/transfer.ts";
import { addTrash } from "./commands/trash.ts";
import { addUpload } from "./commands/upload.ts";
import { addUploads } from "./commands/uploads.ts";
import { Context, type Terminal } from "./context.ts";
import { showEnvironment } from "./environment.ts";
import { describeFailure, exitCodeOf, exitCodes } from "./failure.ts";
import { UsageError } from "./usage-error.ts";

const help = `
Address and key come from --endpoint and --key, from ROMA_ENDPOINT and ROMA_KEY, or from
./roma-data/root-key.json, which a local server writes. \`roma config show\` tells which.

Exit codes: 0 done, 1 failed, 2 usage, 3 denied, 4 not found, 5 precondition, 6 unavailable,
130 interrupted.`;

/** Runs one command (any but `serve`). Never throws. */
export async function runCommandLine(argv: readonly string[], terminal: Terminal): Promise<number> {
  const context = new Context(terminal);
  try {
    await buildProgram(context).parseAsync(argv, { from: "user" });
    return context.failures.exitCode;
  } catch (error) {
    if (terminal.signal.aborted) return exitCodes.interrupted;
    // Commander has printed its own errors.
    if (!(error instanceof CommanderError)) context.note(`roma: ${describeFailure(error)}`);
    if (error instanceof UsageError) context.note("  `roma COMMAND --help` has the rules");
    if (isRomaError(error, "unauthenticated") && context.anonymous) {
      context.note("  no key was given: set ROMA_KEY=ID.SECRET, or pass --key");
    }
    return exitCodeOf(error);
  } finally {
    context.close();
  }
}

function buildProgram(context: Context): Command {
  const { stdout, stderr } = context.terminal;
  const program = new Command("roma")
    .description("Upload, download and manage files on a Roma server.")
    .version(readVersion(), "--version")
    .option("--endpoint <url>", "the server's address")
    .option("--key <id.secret>", "the access key; ROMA_KEY keeps it out of the process list")
    .option("--env <label>", "the environment that is meant: another one refuses; or ROMA_ENV")
    .addHelpText("after", help)
    .showHelpAfterError("(roma COMMAND --help has the rules)")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => stdout.write(text),
      writeErr: (text) => stderr.write(text),
      outputError: (text, write) => write(text.replace(/^error: /, "roma: ")),
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    });
  addServe(program);
  for (const add of [
    addUpload,
    addDownload,
    addLs,
    addStat,
    addTransfer,
    addRm,
    addTrash,
    addHold,
  ]) {
    add(program, context);
  }
  for (const add of [addGrant, addBucket, addKey, addUploads, addStorage, addAudit, addConfig]) {
    add(program, context);
  }
  addEnvironment(program, context);
  addDoctor(program, context);
  addAlerts(program, context);
  addTop(program, context);
  addBulkDelete(program, context);
  addDebug(program, context);
  program.hook("preAction", (_program, command) => showEnvironment(context, command));
  return program;
}

function readVersion(): string {
  const text = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  return text.match(/"version":\s*"([^"]+)"/)?.[1] ?? "unknown";
}
