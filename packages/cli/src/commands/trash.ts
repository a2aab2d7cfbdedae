/** `roma trash`: what was deleted or replaced, to be listed, restored and purged. */
import type { TrashEntryJson } from "@roma/contract";
import type { TrashFilter } from "@roma/sdk/node";
import type { Command } from "commander";
import { confirm } from "../confirm.ts";
import type { Context } from "../context.ts";
import { moment, wholeNumber } from "../options.ts";
import { countObjects, formatBytes, printable } from "../text.ts";
import { UsageError } from "../usage-error.ts";

interface Flags {
  readonly prefix?: string;
  readonly since?: Date;
  readonly until?: Date;
  readonly limit?: number;
  readonly replace?: boolean;
  readonly all?: boolean;
  readonly yes?: boolean;
  readonly json?: boolean;
}

export function addTrash(program: Command, context: Context): void {
  const trash = program
    .command("trash")
    .summary("list, restore, purge what was deleted or replaced");
  withFilter(trash.command("ls").summary("list what can be restored, page by page"))
    .argument("<bucket>")
    .option("--limit <n>", "stop after so many", wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .option("--json", "one JSON object per line")
    .action((bucket: string, flags: Flags, command: Command) =>
      listTrash(context, command, { bucket, flags }),
    );
  withFilter(trash.command("restore").summary("bring objects back, as they were"))
    .argument("<bucket>")
    .argument("[id...]", "of entries; left out: all that the options fit")
    .option("--all", "without ids and other options: everything in the trash")
    .option("--replace", "also where the key has an object, which then goes into the trash")
    .option("--json", "the counts as JSON")
    .action((bucket: string, ids: readonly string[], flags: Flags, command: Command) =>
      restore(context, command, { bucket, ids, flags }),
    );
  withFilter(trash.command("purge").summary("give entries up for good, before their time"))
    .argument("<bucket>")
    .argument("[id...]", "of entries; left out: all that the options fit")
    .option("--all", "without ids and other options: everything in the trash")
    .option("--yes", "do not ask (needed when there is no terminal)")
    .option("--json", "the counts as JSON")
    .action((bucket: string, ids: readonly string[], flags: Flags, command: Command) =>
      purge(context, command, { bucket, ids, flags }),
    );
}

function withFilter(command: Command): Command {
  return command
    .option("--prefix <prefix>", "only keys that begin with it")
    .option("--since <moment>", "deleted then or later: 14:00, 2026-03-01, …", moment)
    .option("--until <moment>", "deleted before then", moment);
}

interface Wish {
  readonly bucket: string;
  readonly ids: readonly string[];
  readonly flags: Flags;
}

async function listTrash(
  context: Context,
  command: Command,
  { bucket, flags }: Omit<Wish, "ids">,
): Promise<void> {
  const administration = await context.administration(command);
  const { limit = Number.POSITIVE_INFINITY } = flags;
  const query = { ...filterOf(flags), limit: Math.min(1000, limit), signal: context.signal };
  let printed = 0;
  for await (const page of administration.trash.list(bucket, query)) {
    for (const entry of page.entries) {
      if (printed === limit) return;
      printed += 1;
      if (flags.json === true) await context.printJson(entry);
      else await context.print(lineOf(entry));
    }
    if (printed >= limit) return;
  }
}

function lineOf({ id, key, size, reason, deletedAt, purgeAt }: TrashEntryJson): string {
  const facts = [deletedAt.slice(0, 19), reason.padEnd(8), formatBytes(size).padStart(9)];
  return printable(`${facts.join("  ")}  until ${purgeAt.slice(0, 16)}  ${key}  ${id}`);
}

async function restore(context: Context, command: Command, wish: Wish): Promise<void> {
  const { bucket, flags } = wish;
  const selection = selectionOf(wish);
  const administration = await context.administration(command);
  const ifExists = flags.replace === true ? "replace" : "skip";
  const { signal } = context;
  const found = await administration.trash.restore(bucket, { ...selection, ifExists }, { signal });
  if (flags.json === true) await context.printJson(found);
  else
    await context.print(`${countObjects(found.restored)} restored (${formatBytes(found.bytes)})`);
  if (found.skipped > 0) {
    context.note(`${countObjects(found.skipped)} left: their keys are taken; see --replace`);
  }
  failMissing(context, found.missing);
}

async function purge(context: Context, command: Command, wish: Wish): Promise<void> {
  const { bucket, ids, flags } = wish;
  const selection = selectionOf(wish);
  const what = ids.length > 0 ? `${ids.length} entries` : "all entries that fit";
  const question = `Purge ${what} of the trash of ${printable(bucket)}, for good?`;
  if (flags.yes !== true && !(await confirm(context, question, bucket))) {
    throw new UsageError("nothing was purged: say --yes to purge without a question");
  }
  const administration = await context.administration(command);
  const isAll = Object.keys(selection).length === 0;
  const { signal } = context;
  const wanted = isAll ? { all: true as const } : selection;
  const found = await administration.trash.purge(bucket, wanted, { signal });
  if (flags.json === true) await context.printJson(found);
  else await context.print(`${countObjects(found.purged)} purged (${formatBytes(found.bytes)})`);
  if (found.retained > 0) context.note(`${countObjects(found.retained)} left: retained still`);
  failMissing(context, found.missing);
}

function failMissing(context: Context, missing: number): void {
  if (missing > 0) context.fail(new Error("not in the trash (any more)"), `${missing} of the ids`);
}

/** An unset variable must not become "everything". */
function selectionOf({ ids, flags }: Wish): TrashFilter | { readonly ids: readonly string[] } {
  const filter = filterOf(flags);
  const isFiltered = Object.keys(filter).length > 0;
  if (ids.length > 0 && (isFiltered || flags.all === true)) {
    throw new UsageError("give ids, or --prefix, --since and --until, not both");
  }
  if (ids.length > 0) return { ids };
  if (!isFiltered && flags.all !== true) {
    throw new UsageError("give ids, --prefix, --since or --until; --all means everything");
  }
  if (filter.prefix === "" && flags.all !== true) {
    throw new UsageError("--prefix is empty: say --all if you mean everything");
  }
  const { prefix, ...rest } = filter;
  return prefix === "" ? rest : filter;
}

function filterOf({ prefix, since, until }: Flags): TrashFilter {
  return {
    ...(prefix === undefined ? {} : { prefix }),
    ...(since === undefined ? {} : { deletedAfter: since }),
    ...(until === undefined ? {} : { deletedBefore: until }),
  };
}
