/** `roma hold`: retention and legal hold of an object. */
import type { Command } from "commander";
import { parseObjectAddress } from "../address.ts";
import type { Context } from "../context.ts";
import { moment } from "../options.ts";
import { formatTable, printable } from "../text.ts";
import { UsageError } from "../usage-error.ts";

interface Flags {
  readonly until?: Date;
  readonly legal?: string;
  readonly json?: boolean;
}

export function addHold(program: Command, context: Context): void {
  program
    .command("hold")
    .summary("keep an object from being deleted, moved or replaced, by anybody")
    .argument("<object>", "BUCKET/KEY")
    .option("--until <moment>", "retain it until then; only ever later than it is", moment)
    .option("--legal <on|off>", "put it under legal hold, or take that off")
    .option("--json", "as JSON")
    .action(async (text: string, flags: Flags, command: Command) => {
      const { bucket, key } = parseObjectAddress(text);
      const { until, legal } = flags;
      if (until === undefined && legal === undefined)
        throw new UsageError("say --until or --legal");
      if (legal !== undefined && legal !== "on" && legal !== "off") {
        throw new UsageError(`--legal ${legal}: write on or off`);
      }
      const administration = await context.administration(command);
      const hold = {
        ...(until === undefined ? {} : { retainUntil: until }),
        ...(legal === undefined ? {} : { legalHold: legal === "on" }),
      };
      const { signal } = context;
      const object = await administration.holds.set({ bucket, key }, hold, { signal });
      if (flags.json === true) return await context.printJson(object);
      await context.print(
        formatTable([
          ["object", printable(`${bucket}/${key}`)],
          ["retained until", object.retainUntil ?? "not retained"],
          ["legal hold", object.legalHold === true ? "on" : "off"],
        ]),
      );
    });
}
