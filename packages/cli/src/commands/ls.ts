/** `roma ls`: buckets, or what is in one, page by page as it is read. */
import type { ObjectJson } from "@roma/contract";
import type { Command } from "commander";
import { parseAddress } from "../address.ts";
import type { Context } from "../context.ts";
import { wholeNumber } from "../options.ts";
import { formatBytes, formatTable, printable } from "../text.ts";

interface Flags {
  readonly recursive?: boolean;
  readonly json?: boolean;
  readonly bytes?: boolean;
  readonly limit?: number;
}

export function addLs(program: Command, context: Context): void {
  program
    .command("ls")
    .summary("list buckets, or the objects of one")
    .argument("[address]", "BUCKET or BUCKET/PREFIX; left out: the buckets")
    .option("-r, --recursive", "every object below, not one level")
    .option("--bytes", "sizes in plain bytes")
    .option("--limit <n>", "stop after so many", wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .option("--json", "one JSON object per line")
    .action(async (text: string | undefined, flags: Flags, command: Command) => {
      if (text === undefined) await listBuckets(context, command, flags);
      else await listObjects(context, command, { text, flags });
    });
}

async function listBuckets(context: Context, command: Command, flags: Flags): Promise<void> {
  const administration = await context.administration(command);
  const buckets = await administration.buckets.list({ signal: context.signal });
  if (flags.json === true) {
    for (const bucket of buckets) await context.printJson(bucket);
  } else if (buckets.length > 0) {
    const rows = buckets.map(({ name, visibility, createdAt }) => [
      createdAt.slice(0, 16),
      visibility,
      printable(name),
    ]);
    await context.print(formatTable(rows));
  }
}

async function listObjects(
  context: Context,
  command: Command,
  { text, flags }: { readonly text: string; readonly flags: Flags },
): Promise<void> {
  const client = await context.client(command);
  const { bucket, key: prefix } = parseAddress(text);
  const limit = flags.limit ?? Number.POSITIVE_INFINITY;
  const options = {
    prefix,
    limit: Math.min(1000, limit),
    signal: context.signal,
    ...(flags.recursive === true ? {} : { delimiter: "/" }),
  };
  let printed = 0;
  for await (const page of client.list(bucket, options).pages()) {
    const lines: { readonly key: string; readonly object: ObjectJson | undefined }[] = [
      ...page.prefixes.map((key) => ({ key, object: undefined })),
      ...page.objects.map((object) => ({ key: object.key, object })),
    ];
    lines.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
    for (const { key, object } of lines) {
      if (printed === limit) return;
      printed += 1;
      if (flags.json === true) await context.printJson(object ?? { bucket, prefix: key });
      else await context.print(objectLine(key, object, flags));
    }
    if (printed >= limit) return;
  }
}

function objectLine(key: string, object: ObjectJson | undefined, flags: Flags): string {
  if (object === undefined) return `${"".padEnd(16)}  ${"-".padStart(12)}  ${printable(key)}`;
  const size = flags.bytes === true ? String(object.size) : formatBytes(object.size);
  return `${object.createdAt.slice(0, 16)}  ${size.padStart(12)}  ${printable(key)}`;
}
