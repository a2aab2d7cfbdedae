/** `roma environment`: which environment a server or a data folder is of; and another label for it. */
import { environmentPattern } from "@roma/contract";
import type { Command } from "commander";
import { confirm } from "../confirm.ts";
import type { Context } from "../context.ts";
import { painted } from "../environment.ts";
import { printable } from "../text.ts";
import { UsageError } from "../usage-error.ts";

interface Flags {
  readonly data?: string;
  readonly config?: string;
  readonly yes?: boolean;
  readonly json?: boolean;
}

const setHelp = `
The server must not run. The label is written into its metadata store and into the mark of every
storage. Start the server with the same label in its configuration, or with none.`;

export function addEnvironment(program: Command, context: Context): void {
  const environment = program
    .command("environment")
    .summary("show which environment this is; relabel the data of a server");
  environment
    .command("show")
    .summary("print the server's environment, and whether it takes changes")
    .option("--data <dir>", "of a data folder whose server does not run")
    .option("--json", "as JSON")
    .action((flags: Flags, command: Command) => show(context, flags, command));
  environment
    .command("set")
    .summary("relabel the data of a server that does not run")
    .argument("<label>")
    .option("--data <dir>", "the data folder; ROMA_DATA, or ./roma-data")
    .option("--config <file>", "the server's configuration, for its data folder and sealing key")
    .option("--yes", "do not ask")
    .option("--json", "as JSON")
    .addHelpText("after", setHelp)
    .action((label: string, flags: Flags) => set(context, label, flags));
}

async function show(context: Context, flags: Flags, command: Command): Promise<void> {
  const { environment, readOnly } =
    flags.data === undefined
      ? await (await context.administration(command)).environment({ signal: context.signal })
      : { environment: await ofFolder(flags), readOnly: null };
  if (flags.json === true) return await context.printJson({ environment, readOnly });
  await context.print(environment === null ? "no environment" : painted(context, environment));
  if (readOnly !== null) context.note(`read-only: ${printable(readOnly)}`);
}

async function ofFolder(flags: Flags): Promise<string | null> {
  const { loadServerConfig, readDataEnvironment } = await import("@roma/server");
  const config = loadServerConfig(serverFlags(flags));
  return (await readDataEnvironment({ config })).environment;
}

async function set(context: Context, label: string, flags: Flags): Promise<void> {
  if (!environmentPattern.test(label)) {
    throw new UsageError(
      `${label} is no label: 1 to 32 lower-case letters, digits and hyphens, beginning with a letter`,
    );
  }
  const { loadServerConfig, readDataEnvironment, setDataEnvironment } = await import(
    "@roma/server"
  );
  const config = loadServerConfig(serverFlags(flags));
  const { environment: before, storages } = await readDataEnvironment({ config });
  const from = before === null ? "no environment" : `the environment ${before}`;
  // Those of a copied metadata store are the original's: whoever copied it should see their names.
  const named = storages.map(({ id, driver }) => `${id} (${driver})`).join(", ");
  const question = `The data in ${config.data} is of ${from}, and will be of ${label}; so will its storages: ${named}.`;
  if (flags.yes !== true && !(await confirm(context, question, before ?? label))) {
    throw new UsageError(`${question} Nothing was changed: say --yes to do it without a question`);
  }
  const environment = context.terminal.env;
  const { unreached } = await setDataEnvironment(label, { config, environment });
  if (flags.json === true) await context.printJson({ environment: label, before, unreached });
  else await context.print(`${config.data}: ${painted(context, label)}`);
  for (const id of unreached) {
    context.fail(
      new Error("its mark could not be reached: run this again when it can"),
      `storage ${id}`,
    );
  }
}

function serverFlags({ data, config }: Flags): readonly string[] {
  return [
    ...(data === undefined ? [] : ["--data", data]),
    ...(config === undefined ? [] : ["--config", config]),
  ];
}
