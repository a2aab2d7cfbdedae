/** `roma uploads`: what is being received, over every protocol, and cancelling it. */
import type { UploadJson } from "@roma/contract";
import type { Command } from "commander";
import type { Context } from "../context.ts";
import { wholeNumber } from "../options.ts";
import { formatBytes, formatTable, printable } from "../text.ts";

interface Flags {
  readonly bucket?: string;
  readonly limit?: number;
  readonly json?: boolean;
}

export function addUploads(program: Command, context: Context): void {
  const uploads = program.command("uploads").summary("list, show, cancel unfinished uploads");
  uploads
    .command("ls")
    .summary("list uploads of every protocol, page by page")
    .option("--bucket <name>", "only those to this bucket")
    .option("--limit <n>", "stop after so many", wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .option("--json", "one JSON object per line")
    .action((flags: Flags, command: Command) => listUploads(context, command, flags));
  uploads
    .command("show")
    .summary("print the facts about an upload")
    .argument("<id>")
    .option("--json", "as JSON")
    .action(async (id: string, flags: Flags, command: Command) => {
      const administration = await context.administration(command);
      const upload = await administration.uploads.get(id, { signal: context.signal });
      if (flags.json === true) await context.printJson(upload);
      else await context.print(formatTable(factsOf(upload)));
    });
  uploads
    .command("cancel")
    .summary("stop uploads and drop what came of them; complete objects stay")
    .argument("<id...>")
    .action(async (ids: readonly string[], _flags: Flags, command: Command) => {
      const administration = await context.administration(command);
      for (const id of ids) await administration.uploads.cancel(id, { signal: context.signal });
    });
}

async function listUploads(context: Context, command: Command, flags: Flags): Promise<void> {
  const administration = await context.administration(command);
  const { bucket, limit = Number.POSITIVE_INFINITY } = flags;
  const query = { limit: Math.min(1000, limit), signal: context.signal };
  let printed = 0;
  for await (const page of administration.uploads.list(
    bucket === undefined ? query : { ...query, bucket },
  )) {
    for (const upload of page.uploads) {
      if (printed === limit) return;
      printed += 1;
      if (flags.json === true) await context.printJson(upload);
      else await context.print(lineOf(upload));
    }
    if (printed >= limit) return;
  }
}

function lineOf(upload: UploadJson): string {
  const { id, protocol, phase, createdAt } = upload;
  const facts = [createdAt.slice(0, 16), protocol.padEnd(4), phase.padEnd(10), progressOf(upload)];
  return printable(`${facts.join("  ")}  ${targetOf(upload)}  ${id}`);
}

function progressOf({ offset, length }: UploadJson): string {
  return `${formatBytes(offset)} of ${length === null ? "?" : formatBytes(length)}`.padStart(22);
}

function targetOf({ bucket, key }: UploadJson): string {
  return `${bucket}/${key ?? "(a partial)"}`;
}

function factsOf(upload: UploadJson): readonly string[][] {
  const { length, contentType, expiresAt, version, metadata } = upload;
  const rows: readonly (readonly [string, string | null])[] = [
    ["id", upload.id],
    ["object", targetOf(upload)],
    ["protocol", upload.protocol],
    ["phase", upload.phase],
    ["offset", String(upload.offset)],
    ["length", length === null ? "not told yet" : String(length)],
    ["type", contentType],
    ["begun", upload.createdAt],
    ["expires", expiresAt],
    ["version", version],
    ...Object.entries(metadata ?? {}).map(([name, value]) => [`meta ${name}`, value] as const),
  ];
  return rows.flatMap(([name, value]) =>
    value === null ? [] : [[printable(name), printable(value)]],
  );
}
