/** `roma storage cors`: what a storage's own bucket allows pages that send direct uploads straight to it. */
import type { CorsRuleJson, StorageCorsJson } from "@roma/contract";
import type { Command } from "commander";
import type { Context } from "../context.ts";
import { collect } from "../options.ts";
import { formatTable, printable } from "../text.ts";
import { UsageError } from "../usage-error.ts";

interface Flags {
  readonly origin?: readonly string[];
  readonly set?: boolean;
  readonly check?: boolean;
  readonly remove?: boolean;
  readonly json?: boolean;
}

const help = `
Pages whose uploads go straight to a storage need its bucket to allow their origin, PUT, and ETag to be read:

  roma storage cors oss                                          # the rules as they are
  roma storage cors oss --check --origin https://app.example     # asks as a browser would
  roma storage cors oss --set --origin https://app.example       # one rule of ours, before those of others`;

export function addStorageCors(storage: Command, context: Context): void {
  storage
    .command("cors")
    .summary("see, check or set which pages may send to a storage's own bucket")
    .argument("<name>")
    .option("--origin <origin>", "of pages, such as https://app.example; repeatable", collect)
    .option("--check", "try the origins as a browser would; exit code 1 when one cannot send")
    .option("--set", "let these origins send, and no others by our rule; then as --check")
    .option("--remove", "take our rule away")
    .option("--json", "as JSON")
    .addHelpText("after", help)
    .action(async (id: string, flags: Flags, command: Command) => {
      const origins = originsOf(flags);
      const { storages } = await context.administration(command);
      const { signal } = context;
      const found =
        flags.set === true || flags.remove === true
          ? await storages.setCors(id, origins, { signal })
          : await check(origins, (origin) => storages.cors(id, { ...origin, signal }));
      if (flags.json === true) await context.printJson(found);
      else await printCors(context, found);
      for (const { origin, ok, problem } of found.origins) {
        if (!ok) context.fail(new Error(problem ?? "it cannot send"), origin);
      }
    });
}

function originsOf({ origin = [], set, check, remove }: Flags): readonly string[] {
  if ([set, check, remove].filter((flag) => flag === true).length > 1) {
    throw new UsageError("--set, --check and --remove exclude one another");
  }
  if (remove === true && origin.length > 0) throw new UsageError("--remove takes no --origin");
  if ((set === true || check === true) && origin.length === 0) {
    throw new UsageError("name the --origin of your pages, such as https://app.example");
  }
  return origin;
}

/** The server tries one in a call. */
async function check(
  origins: readonly string[],
  ask: (origin: { readonly origin?: string }) => Promise<StorageCorsJson>,
): Promise<StorageCorsJson> {
  const [first, ...others] = origins;
  let found = await ask(first === undefined ? {} : { origin: first });
  for (const origin of others) {
    const next = await ask({ origin });
    found = { ...next, origins: [...found.origins, ...next.origins] };
  }
  return found;
}

async function printCors(context: Context, { rules, note, origins }: StorageCorsJson) {
  if (rules !== null && rules.length > 0) {
    const head = ["RULE", "ORIGINS", "METHODS", "HEADERS", "EXPOSED", "MAX AGE"];
    await printTable(context, [head, ...rules.map(rowOf)]);
  } else {
    await context.print(rules === null ? "no rules are shown" : "the bucket has no rules");
  }
  if (note !== null) context.note(note);
  if (origins.length === 0) return;
  await context.print("");
  const rows = origins.map(({ origin, problem }) => [origin, problem ?? "may send"]);
  await printTable(context, [["ORIGIN", "SEEN"], ...rows]);
}

function rowOf({ id, maxAgeSeconds, ...rule }: CorsRuleJson): readonly string[] {
  return [
    id ?? "-",
    rule.allowedOrigins.join(" "),
    rule.allowedMethods.join(" "),
    rule.allowedHeaders.join(" "),
    rule.exposeHeaders.join(" "),
    maxAgeSeconds === null ? "-" : `${maxAgeSeconds} s`,
  ];
}

async function printTable(context: Context, rows: readonly (readonly string[])[]): Promise<void> {
  await context.print(formatTable(rows.map((row) => row.map(printable))));
}
