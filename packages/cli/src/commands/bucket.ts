/** `roma bucket`: create, list, show, set, remove. */
import type { BucketJson, BucketSettingsJson } from "@roma/contract";
import type { Command } from "commander";
import type { Context } from "../context.ts";
import { collect } from "../options.ts";
import { formatBytes, formatTable, parseBytes, printable } from "../text.ts";
import { UsageError } from "../usage-error.ts";

interface Flags {
  readonly visibility?: string;
  readonly maxObjectBytes?: number | null;
  readonly contentType?: readonly string[];
  readonly uploadExpiry?: string;
  readonly quota?: number | null;
  readonly placement?: string;
  readonly trash?: string | null;
  readonly environment?: string | null;
  readonly deletesPerHour?: number | null;
  readonly retention?: string | null;
  readonly bulkDeleteApprovals?: number;
  readonly json?: boolean;
}

export function addBucket(program: Command, context: Context): void {
  const bucket = program.command("bucket").summary("create, list, show, change, remove buckets");
  withSettings(bucket.command("create").summary("create a bucket").argument("<name>")).action(
    async (name: string, flags: Flags, command: Command) => {
      const administration = await context.administration(command);
      const { signal } = context;
      const made = await administration.buckets.create(name, settingsOf(flags), { signal });
      await printBucket(context, made, flags);
    },
  );
  bucket
    .command("ls")
    .summary("list buckets")
    .option("--json", "one JSON object per line")
    .action(async (flags: Flags, command: Command) => {
      const administration = await context.administration(command);
      for (const item of await administration.buckets.list({ signal: context.signal })) {
        if (flags.json === true) await context.printJson(item);
        else await context.print(printable(item.name));
      }
    });
  bucket
    .command("show")
    .summary("print a bucket's settings")
    .argument("<name>")
    .option("--json", "as JSON")
    .action(async (name: string, flags: Flags, command: Command) => {
      const administration = await context.administration(command);
      await printBucket(
        context,
        await administration.buckets.get(name, { signal: context.signal }),
        flags,
      );
    });
  withSettings(
    bucket.command("set").summary("change what is named, leave the rest").argument("<name>"),
  ).action(async (name: string, flags: Flags, command: Command) => {
    const settings = settingsOf(flags);
    if (Object.keys(settings).length === 0) throw new UsageError("name a setting to change");
    const administration = await context.administration(command);
    const { signal } = context;
    await printBucket(
      context,
      await administration.buckets.change(name, settings, { signal }),
      flags,
    );
  });
  bucket
    .command("rm")
    .summary("remove an empty bucket")
    .argument("<name>")
    .action(async (name: string, _flags: Flags, command: Command) => {
      const administration = await context.administration(command);
      await administration.buckets.delete(name, { signal: context.signal });
    });
}

function withSettings(command: Command): Command {
  return command
    .option("--visibility <v>", "private or public-read")
    .option("--max-object-bytes <size>", "largest object, like 20MiB; none: no limit", sizeOrNone)
    .option("--content-type <type>", "a type it takes, like image/*; repeatable; any", collect)
    .option("--upload-expiry <time>", 'how long an upload may stay incomplete, like "24 h"')
    .option("--quota <size>", "bytes in all; none: no limit", sizeOrNone)
    .option("--placement <storage>", "a storage id, or rules as JSON")
    .option("--trash <time>", 'how long deleted objects are kept, like "7 d"; none', textOrNone)
    .option("--environment <label>", "like production; none: the server's own", textOrNone)
    .option(
      "--deletes-per-hour <count>",
      "objects that may be deleted in any hour; none: as its environment says",
      countOrNone,
    )
    .option(
      "--retention <time>",
      'how long new objects can be neither deleted nor replaced, like "30 d"; none',
      textOrNone,
    )
    .option(
      "--bulk-delete-approvals <count>",
      "keys that must confirm a bulk delete: 1 or 2",
      Number,
    )
    .option("--json", "print the bucket as JSON");
}

function sizeOrNone(text: string): number | null {
  return text === "none" ? null : parseBytes(text);
}

function textOrNone(text: string): string | null {
  return text === "none" ? null : text;
}

function countOrNone(text: string): number | null {
  if (text === "none") return null;
  if (!/^\d{1,10}$/.test(text)) throw new UsageError(`${text}: write a whole number, or none`);
  return Number(text);
}

function settingsOf(flags: Flags): BucketSettingsJson {
  const { visibility, maxObjectBytes, contentType, uploadExpiry, quota, placement } = flags;
  if (visibility !== undefined && visibility !== "private" && visibility !== "public-read") {
    throw new UsageError(`--visibility ${visibility}: write private or public-read`);
  }
  return {
    ...(visibility === undefined ? {} : { visibility }),
    ...(maxObjectBytes === undefined ? {} : { maxObjectBytes }),
    ...(contentType === undefined
      ? {}
      : { contentTypes: contentType.includes("any") ? null : contentType }),
    ...(uploadExpiry === undefined ? {} : { uploadExpiry }),
    ...(quota === undefined ? {} : { quotaBytes: quota }),
    ...(placement === undefined ? {} : { placement: parsePlacement(placement) }),
    ...safetySettingsOf(flags),
  };
}

function safetySettingsOf(flags: Flags): BucketSettingsJson {
  const { trash, environment, deletesPerHour, retention, bulkDeleteApprovals: approvals } = flags;
  if (approvals !== undefined && approvals !== 1 && approvals !== 2) {
    throw new UsageError("--bulk-delete-approvals: write 1 or 2");
  }
  return {
    ...(trash === undefined ? {} : { trash }),
    ...(environment === undefined ? {} : { environment }),
    ...(deletesPerHour === undefined ? {} : { deletesPerHour }),
    ...(retention === undefined ? {} : { retention }),
    ...(approvals === undefined ? {} : { bulkDeleteApprovals: approvals }),
  };
}

function parsePlacement(text: string): NonNullable<BucketSettingsJson["placement"]> {
  if (!text.startsWith("[")) return text;
  try {
    return JSON.parse(text);
  } catch {
    throw new UsageError(`--placement ${text}: not JSON`);
  }
}

async function printBucket(context: Context, bucket: BucketJson, flags: Flags): Promise<void> {
  if (flags.json === true) return await context.printJson(bucket);
  const size = (bytes: number | null) => (bytes === null ? "no limit" : formatBytes(bytes));
  const { placement } = bucket;
  const rows = [
    ["name", bucket.name],
    ["visibility", bucket.visibility],
    ["largest object", size(bucket.maxObjectBytes)],
    ["types", bucket.contentTypes?.join(", ") ?? "any"],
    ["upload expiry", bucket.uploadExpiry],
    ["quota", size(bucket.quotaBytes)],
    ["placement", typeof placement === "string" ? placement : JSON.stringify(placement)],
    ["trash", bucket.trash ?? "none"],
    ["environment", bucket.environment ?? "the server's own"],
    ["deletes per hour", bucket.deletesPerHour?.toString() ?? "as its environment says"],
    ["retention", bucket.retention ?? "none"],
    ["approvals of a bulk delete", String(bucket.bulkDeleteApprovals)],
    ["created", bucket.createdAt],
  ];
  await context.print(formatTable(rows.map((row) => row.map(printable))));
}
