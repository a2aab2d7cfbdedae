/** `roma config`: is a server's configuration right, and where does this command line connect. */
import type { Command } from "commander";
import type { Context } from "../context.ts";
import { formatTable, printable } from "../text.ts";

export function addConfig(program: Command, context: Context): void {
  const config = program.command("config").summary("check a server's configuration; show ours");
  config
    .command("check")
    .summary("check a server's configuration file, without starting it")
    .argument("<file>")
    .action(async (file: string) => {
      // Loaded on use: the server is large, and no other command but `serve` needs it.
      const { checkConfig } = await import("@roma/server");
      const problems = await checkConfig(file);
      for (const problem of problems) {
        context.fail(new Error(`${problem.path}: ${problem.message}`), printable(file));
      }
      if (problems.length === 0) await context.print(`${printable(file)}: no problems`);
    });
  config
    .command("show")
    .summary("print the server's address and the key's id, and where both come from")
    .option("--json", "as JSON")
    .action(async (flags: { readonly json?: boolean }, command: Command) => {
      const { endpoint, credential, file } = await context.connection(command);
      // The id alone: what is shown is pasted into tickets.
      const keyId = credential?.value.split(/[.:]/)[0] ?? null;
      const keySource = credential?.source ?? null;
      if (flags.json === true) {
        const shown = { endpoint: endpoint.value, endpointSource: endpoint.source };
        return await context.printJson({ ...shown, keyId, keySource, file });
      }
      const rows = [
        ["endpoint", endpoint.value, `from ${endpoint.source}`],
        [
          "key",
          keyId ?? "none",
          keySource === null ? "set ROMA_KEY or --key" : `from ${keySource}`,
        ],
        ["file", file.path, file.state],
      ];
      await context.print(formatTable(rows.map((row) => row.map(printable))));
    });
}
