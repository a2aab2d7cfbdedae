/** The environment that a command is about to change, for whoever runs it. */
import type { Command } from "commander";
import type { Context } from "./context.ts";

/** Whose label is shown in red. */
const dangerous = "production";

/** Commands that change nothing; any other tells what it is about to change. */
const reading: ReadonlySet<string> = new Set([
  ...["serve", "ls", "stat", "download", "grant", "config check", "config show"],
  ...["alerts test", "debug", "doctor", "top"],
  ...["environment show", "environment set", "bucket ls", "bucket show", "key ls", "key show"],
  ...["trash ls", "bulk-delete status", "uploads ls", "uploads show", "storage ls", "storage show"],
]);

/** Before a command that changes something: a line on stderr, if the server has a label. */
export async function showEnvironment(context: Context, command: Command): Promise<void> {
  if (reading.has(nameOf(command))) return;
  // Not the command's own client, which the command makes as it needs it.
  await using client = await context.connect(command);
  if (context.anonymous) return;
  const { Administration } = await import("@roma/sdk/node");
  const { signal } = context;
  try {
    const bucket = bucketOf(command);
    const { environment } = await new Administration(client).environment({ bucket, signal });
    if (environment !== null) context.note(`environment: ${painted(context, environment)}`);
  } catch {
    // What is wrong with the server, the key or what is meant is said by the command itself.
  }
}

/** Red where that can be seen. */
export function painted({ terminal }: Context, environment: string): string {
  const isPlain = terminal.stderr.isTTY !== true || (terminal.env.NO_COLOR ?? "") !== "";
  if (environment !== dangerous || isPlain) return environment;
  return `\u001b[1;31m${environment}\u001b[0m`;
}

/** Commands whose last argument is what they change; it is the first one of all others. */
const changingTheirLast: ReadonlySet<string> = new Set(["upload", "cp", "mv"]);

/** The bucket that the command is about to change; it need not be one. */
function bucketOf(command: Command): string | undefined {
  const at = changingTheirLast.has(nameOf(command)) ? -1 : 0;
  return command.args.at(at)?.split("/", 1)[0];
}

/** `bucket set`, as it is written. */
function nameOf(command: Command): string {
  const names: string[] = [];
  for (let at: Command | null = command; at?.parent != null; at = at.parent) {
    names.unshift(at.name());
  }
  return names.join(" ");
}
