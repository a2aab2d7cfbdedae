/** `roma stat`: the facts about one object. */
import type { Command } from "commander";
import { parseObjectAddress } from "../address.ts";
import type { Context } from "../context.ts";
import { formatBytes, formatTable, printable } from "../text.ts";

export function addStat(program: Command, context: Context): void {
  program
    .command("stat")
    .summary("print the facts about an object")
    .argument("<object>", "BUCKET/KEY")
    .option("--json", "as JSON")
    .action(async (text: string, flags: { readonly json?: boolean }, command: Command) => {
      const { bucket, key } = parseObjectAddress(text);
      const client = await context.client(command);
      const head = await client.stat({ bucket, key }, { signal: context.signal });
      if (flags.json === true) return await context.printJson({ bucket, key, ...head });
      const size = head.size === null ? "" : `${head.size} (${formatBytes(head.size)})`;
      const rows: [string, string | null][] = [
        ["object", `${bucket}/${key}`],
        ["size", size],
        ["type", head.contentType],
        ["etag", head.etag],
        ["crc64nvme", head.crc64nvme],
        ["version", head.version],
        ["modified", head.lastModified],
        ...Object.entries(head.metadata).map(([name, value]): [string, string] => [
          `meta ${name}`,
          value,
        ]),
      ];
      await context.print(
        formatTable(
          rows.flatMap(([name, value]) => (value ? [[printable(name), printable(value)]] : [])),
        ),
      );
    });
}
