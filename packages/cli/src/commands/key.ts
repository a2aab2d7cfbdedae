/** `roma key`: access keys and what they permit. A secret is printed once, when its key is made. */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { AccessKeyJson, ActionJson, PolicyStatementJson } from "@roma/contract";
import { actions, parsePolicyStatement } from "@roma/sdk/node";
import { type Command, Option } from "commander";
import type { Context } from "../context.ts";
import { collect } from "../options.ts";
import { formatTable, printable } from "../text.ts";
import { UsageError } from "../usage-error.ts";

const reading: readonly ActionJson[] = ["bucket:read", "object:list", "object:read"];
const roles: Readonly<Record<string, readonly ActionJson[]>> = {
  reader: reading,
  uploader: ["object:write"],
  writer: [...reading, "object:write", "object:delete", "upload:read", "upload:cancel"],
  admin: ["*"],
};

interface Flags {
  readonly role?: string;
  readonly bucket?: readonly string[];
  readonly prefix?: readonly string[];
  readonly action?: readonly string[];
  readonly policy?: string;
  readonly json?: boolean;
}

export function addKey(program: Command, context: Context): void {
  const key = program.command("key").summary("create, list, show, disable, remove access keys");
  key
    .command("create")
    .summary("make a key; its secret is printed once")
    .argument("<name>", "for people: what it is for")
    .addOption(
      new Option("--role <role>", "what it may do").choices(Object.keys(roles)).conflicts("policy"),
    )
    .option("--action <action>", "or single actions, like object:read; repeatable", collect)
    .option("--bucket <name>", "where; * for any, NAME* for a beginning; repeatable", collect)
    .option("--prefix <prefix>", "and only below this; repeatable", collect)
    .option("--policy <json>", "or a whole policy: JSON, or @FILE")
    .option("--json", "as JSON")
    .action(async (name: string, flags: Flags, command: Command) => {
      const policy = await policyOf(flags, context.terminal.cwd);
      const administration = await context.administration(command);
      const made = await administration.keys.create({ name, policy }, { signal: context.signal });
      if (flags.json === true) return await context.printJson(made);
      await context.print(`${made.id}.${made.secret}`);
      context.note("Keep it: the secret is not shown again. Use it as ROMA_KEY or --key.");
    });
  key
    .command("ls")
    .summary("list keys")
    .option("--json", "one JSON object per line")
    .action(async (flags: Flags, command: Command) => {
      const administration = await context.administration(command);
      const keys = await administration.keys.list({ signal: context.signal });
      if (flags.json === true) {
        for (const item of keys) await context.printJson(item);
      } else if (keys.length > 0) {
        const rows = keys.map(({ id, enabled, name }) => [
          printable(id),
          enabled ? "enabled" : "disabled",
          printable(name),
        ]);
        await context.print(formatTable(rows));
      }
    });
  key
    .command("show")
    .summary("print a key and its policy")
    .argument("<id>")
    .option("--json", "as JSON")
    .action(async (id: string, flags: Flags, command: Command) => {
      const administration = await context.administration(command);
      await printKey(context, await administration.keys.get(id, { signal: context.signal }), flags);
    });
  for (const [name, enabled] of [["disable", false] as const, ["enable", true] as const]) {
    key
      .command(name)
      .summary(enabled ? "accept a disabled key again" : "refuse a key until it is enabled")
      .argument("<id>")
      .action(async (id: string, _flags: Flags, command: Command) => {
        const administration = await context.administration(command);
        await administration.keys.change(id, { enabled }, { signal: context.signal });
      });
  }
  key
    .command("rm")
    .summary("remove a key for ever")
    .argument("<id>")
    .action(async (id: string, _flags: Flags, command: Command) => {
      const administration = await context.administration(command);
      await administration.keys.delete(id, { signal: context.signal });
    });
}

async function policyOf(flags: Flags, cwd: string): Promise<readonly PolicyStatementJson[]> {
  if (flags.policy !== undefined) return await readPolicy(flags.policy, cwd);
  const wanted = [...(roles[flags.role ?? ""] ?? []), ...(flags.action ?? []).map(parseAction)];
  if (wanted.length === 0) {
    throw new UsageError(
      "say what it may do: --role reader, uploader, writer or admin, or --action",
    );
  }
  if (flags.bucket === undefined) {
    throw new UsageError("say where: --bucket NAME, or --bucket '*' for all");
  }
  const { bucket: buckets, prefix: prefixes } = flags;
  return [{ buckets, actions: wanted, ...(prefixes === undefined ? {} : { prefixes }) }];
}

function parseAction(text: string): ActionJson {
  const action = actions.find((known) => known === text);
  if (action === undefined) throw new UsageError(`--action ${text}: one of ${actions.join(", ")}`);
  return action;
}

async function readPolicy(text: string, cwd: string): Promise<readonly PolicyStatementJson[]> {
  try {
    const json = text.startsWith("@") ? await readFile(resolve(cwd, text.slice(1)), "utf8") : text;
    const value: unknown = JSON.parse(json);
    return (Array.isArray(value) ? value : [value]).map(parsePolicyStatement);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UsageError(
      `--policy: ${reason}; write [{"buckets":["NAME"],"actions":["object:read"]}]`,
    );
  }
}

async function printKey(context: Context, key: AccessKeyJson, flags: Flags): Promise<void> {
  if (flags.json === true) return await context.printJson(key);
  const rows = [
    ["id", key.id],
    ["name", key.name],
    ["state", key.enabled ? "enabled" : "disabled"],
    ["created", key.createdAt],
    ...key.policy.map(({ buckets, prefixes, actions: permitted }) => [
      "permits",
      `${permitted.join(" ")} in ${buckets.join(" ")}${prefixes ? ` below ${prefixes.join(" ")}` : ""}`,
    ]),
  ];
  await context.print(formatTable(rows.map((row) => row.map(printable))));
}
