/** `roma bulk-delete`: plan, confirm, status, stop, undo. */
import type { BulkDeleteJson } from "@roma/contract";
import type { Command } from "commander";
import type { Context } from "../context.ts";
import { formatBytes, printable } from "../text.ts";
import { UsageError } from "../usage-error.ts";

interface Flags {
  readonly bucket?: string;
  readonly environment?: string;
  readonly json?: boolean;
}

export function addBulkDelete(program: Command, context: Context): void {
  const bulk = program.command("bulk-delete").summary("destroy very many objects, in steps");
  const option = ["--json", "as JSON"] as const;
  const client = async (command: Command) => (await context.administration(command)).bulkDeletes;
  const { signal } = context;
  bulk
    .command("plan")
    .summary("count what would go; changes nothing")
    .argument("<bucket/prefix>")
    .option(...option)
    .action(async (address: string, flags: Flags, command: Command) => {
      const slash = address.indexOf("/");
      if (slash < 1) throw new UsageError(`${address} names no prefix: write BUCKET/PREFIX`);
      const [bucket, prefix] = [address.slice(0, slash), address.slice(slash + 1)];
      const plan = await (await client(command)).plan(bucket, prefix, { signal });
      await print(context, plan, flags);
    });
  bulk
    .command("confirm")
    .summary("run a plan")
    .argument("<id>")
    .requiredOption("--bucket <name>", "the plan's bucket, typed out")
    .requiredOption("--environment <label>", "its environment, typed out; none: it has none")
    .option(...option)
    .action(async (id: string, flags: Flags, command: Command) => {
      const { bucket = "", environment = "" } = flags;
      const bulkDeletes = await client(command);
      const { digest } = await bulkDeletes.get(id, { signal });
      const label = environment === "none" ? null : environment;
      await print(
        context,
        await bulkDeletes.confirm({ id, bucket, digest }, label, { signal }),
        flags,
      );
    });
  bulk
    .command("status")
    .summary("how far one is, or all")
    .argument("[id]")
    .option(...option)
    .action(async (id: string | undefined, flags: Flags, command: Command) => {
      const bulkDeletes = await client(command);
      const found =
        id === undefined
          ? await bulkDeletes.list({ signal })
          : [await bulkDeletes.get(id, { signal })];
      for (const one of found) await print(context, one, flags);
    });
  for (const verb of ["stop", "undo"] as const) {
    bulk
      .command(verb)
      .summary(verb === "stop" ? "stop one that runs" : "bring back what it deleted")
      .argument("<id>")
      .option(...option)
      .action(async (id: string, flags: Flags, command: Command) => {
        await print(context, await (await client(command))[verb](id, { signal }), flags);
      });
  }
}

async function print(context: Context, one: BulkDeleteJson, flags: Flags): Promise<void> {
  if (flags.json === true) return await context.printJson(one);
  const { id, state, bucket, prefix, objects, bytes, deleted, restored, samples } = one;
  await context.print(
    printable(
      `${id} ${state}: ${objects} objects (${formatBytes(bytes)}) below ${bucket}/${prefix}, ` +
        `${deleted} deleted, ${restored} restored`,
    ),
  );
  if (state === "planned") for (const key of samples) await context.print(printable(`  ${key}`));
}
