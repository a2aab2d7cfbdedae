/** `roma rm`: named objects, or all below a prefix after a look and a confirmation. */
import type { Roma } from "@roma/sdk/node";
import type { Command } from "commander";
import { type ParsedAddress, parseAddress, parseObjectAddress } from "../address.ts";
import { confirm } from "../confirm.ts";
import type { Context } from "../context.ts";
import { isFatal } from "../failure.ts";
import { countObjects, formatBytes, printable } from "../text.ts";
import { UsageError } from "../usage-error.ts";

interface Flags {
  readonly recursive?: boolean;
  readonly yes?: boolean;
  readonly all?: boolean;
  readonly json?: boolean;
}

export function addRm(program: Command, context: Context): void {
  program
    .command("rm")
    .summary("delete objects; with -r all below a prefix")
    .argument("<address...>", "BUCKET/KEY; with -r BUCKET/PREFIX")
    .option("-r, --recursive", "all objects whose keys begin with the prefix")
    .option("--yes", "do not ask (needed with -r when there is no terminal)")
    .option("--all", "with -r: permit the empty prefix, which is the whole bucket")
    .option("--json", "one JSON object per line")
    .action(async (texts: string[], flags: Flags, command: Command) => {
      if (flags.recursive === true) {
        const places = texts.map(parseAddress);
        const whole = places.find(({ key }) => key === "");
        if (whole !== undefined && flags.all !== true) {
          throw new UsageError(`${whole.bucket} is the whole bucket: say --all if you mean it`);
        }
        const client = await context.client(command);
        for (const place of places) await removeBelow(context, client, { place, flags });
      } else {
        const objects = texts.map(parseObjectAddress);
        const client = await context.client(command);
        for (const object of objects) await removeOne(context, client, { object, flags });
      }
    });
}

async function removeOne(
  context: Context,
  client: Roma,
  { object, flags }: { readonly object: ParsedAddress; readonly flags: Flags },
): Promise<void> {
  const { bucket, key } = object;
  try {
    await client.delete({ bucket, key }, { signal: context.signal });
    await reportDeleted(context, flags, object);
  } catch (error) {
    if (isFatal(error)) throw error;
    context.fail(error, printable(`${bucket}/${key}`));
  }
}

interface Sweep {
  readonly place: ParsedAddress;
  readonly flags: Flags;
}

async function removeBelow(context: Context, client: Roma, { place, flags }: Sweep): Promise<void> {
  const { bucket, key: prefix } = place;
  const options = { prefix, signal: context.signal };
  if (flags.yes !== true) {
    let count = 0;
    let bytes = 0;
    for await (const page of client.list(bucket, options).pages()) {
      count += page.objects.length;
      for (const { size } of page.objects) bytes += size;
    }
    const what = `${countObjects(count)} (${formatBytes(bytes)}) below ${printable(bucket)}/${printable(prefix)}`;
    if (count > 0 && !(await confirm(context, `Delete ${what}?`, bucket))) {
      throw new UsageError(`${what} were not deleted: say --yes to delete them without a question`);
    }
  }
  let deleted = 0;
  for await (const page of client.list(bucket, options).pages()) {
    const keys = page.objects.map(({ key }) => key);
    if (keys.length === 0) continue;
    const result = await client.deleteMany(bucket, keys, { signal: context.signal });
    deleted += result.deleted.length;
    for (const key of result.deleted) {
      if (flags.json === true) await reportDeleted(context, flags, { bucket, key });
    }
    for (const { key, detail, code } of result.failed) {
      context.fail(new Error(`${detail} (${code})`), printable(`${bucket}/${key}`));
    }
  }
  if (flags.json !== true) context.note(`${countObjects(deleted)} deleted`);
}

async function reportDeleted(
  context: Context,
  flags: Flags,
  { bucket, key }: ParsedAddress,
): Promise<void> {
  if (flags.json === true) await context.printJson({ event: "deleted", bucket, key });
  else await context.print(printable(`${bucket}/${key}`));
}
