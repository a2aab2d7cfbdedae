/** `roma cp` and `roma mv`: within the server; the bytes do not pass through here. */
import type { Command } from "commander";
import { isPrefix, parseObjectAddress, parseTarget } from "../address.ts";
import type { Context } from "../context.ts";
import { collectMetadata } from "../options.ts";
import { printable } from "../text.ts";
import { UsageError } from "../usage-error.ts";

interface Flags {
  readonly ifAbsent?: boolean;
  readonly contentType?: string;
  readonly meta?: Readonly<Record<string, string>>;
  readonly json?: boolean;
}

export function addTransfer(program: Command, context: Context): void {
  for (const name of ["cp", "mv"] as const) {
    program
      .command(name)
      .summary(name === "cp" ? "copy an object within the server" : "move or rename an object")
      .argument("<from>", "BUCKET/KEY")
      .argument("<to>", "BUCKET/KEY, or BUCKET/PREFIX/ to keep the key's last part")
      .option("--if-absent", "refuse to replace an object")
      .option("--content-type <type>", "give it this type")
      .option("--meta <name=value>", "replace its user metadata; repeatable", collectMetadata)
      .option("--json", "print the object as JSON")
      .action(async (from: string, to: string, flags: Flags, command: Command) => {
        await transfer(context, command, { name, from, to, flags });
      });
  }
}

interface Wish {
  readonly name: "cp" | "mv";
  readonly from: string;
  readonly to: string;
  readonly flags: Flags;
}

async function transfer(context: Context, command: Command, wish: Wish): Promise<void> {
  const { name, flags } = wish;
  const from = parseObjectAddress(wish.from);
  if (isPrefix(from)) throw new UsageError(`${wish.from} is a prefix; ${name} takes one object`);
  const to = parseTarget(wish.to, from.key);
  if (from.bucket === to.bucket && from.key === to.key) {
    throw new UsageError(`${wish.from} and ${wish.to} are the same object`);
  }
  const client = await context.client(command);
  const options = {
    signal: context.signal,
    ...(flags.ifAbsent === true ? { createOnly: true } : {}),
    ...(flags.contentType === undefined ? {} : { contentType: flags.contentType }),
    ...(flags.meta === undefined ? {} : { metadata: flags.meta }),
  };
  const object = await (name === "cp"
    ? client.copy(from, to, options)
    : client.move(from, to, options));
  if (flags.json === true) await context.printJson(object);
  else await context.print(printable(`${object.bucket}/${object.key}`));
}
