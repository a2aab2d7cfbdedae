/** `roma storage`: list, show, add, change, drain, retire and test the places for bytes. */
import { setTimeout as wait } from "node:timers/promises";
import type { StorageJson, StorageSettingsJson, StorageTestJson } from "@roma/contract";
import type { Command } from "commander";
import type { Context } from "../context.ts";
import { collect } from "../options.ts";
import { formatTable, printable } from "../text.ts";
import { UsageError } from "../usage-error.ts";
import { addStorageCors } from "./storage-cors.ts";

interface Flags {
  readonly driver?: string;
  readonly set?: readonly string[];
  readonly setEnv?: readonly string[];
  readonly unset?: readonly string[];
  readonly default?: boolean;
  readonly wait?: boolean;
  readonly forget?: boolean;
  readonly all?: boolean;
  readonly markdown?: boolean;
  readonly json?: boolean;
}

const settingsHelp = `
Settings are given as NAME=VALUE, as in docs/storages. A value is JSON where it can be read as such
(true, 64, "64" in quotes for a text), else text. A secret is better taken from an environment variable, which other users of the
machine do not see:

  roma storage add disk2 --driver posix --set root=/mnt/disk2/roma
  roma storage add oss --driver s3 --set vendor=alibaba-oss --set region=cn-hangzhou \\
    --set bucket=uploads --set accessKeyId=LTAI… --set-env secretAccessKey=OSS_SECRET`;

export function addStorage(program: Command, context: Context): void {
  const storage = program
    .command("storage")
    .summary("list, show, add, change, drain, retire, test storages");
  addReading(storage, context);
  withSettings(storage.command("add").summary("add a storage, once the server has tried it"))
    .requiredOption("--driver <driver>", "posix or s3")
    .action(async (id: string, flags: Flags, command: Command) => {
      const { driver = "" } = flags;
      const settings = { ...settingsOf(flags, context), driver };
      const administration = await context.administration(command);
      const added = await administration.storages.add(id, settings, { signal: context.signal });
      await printStorage(context, added, flags);
    });
  withSettings(storage.command("set").summary("change what is named, leave the rest"))
    .option("--unset <name>", "a setting gets its default; repeatable", collect)
    .action(async (id: string, flags: Flags, command: Command) => {
      const settings = settingsOf(flags, context);
      if (Object.keys(settings).length === 0) throw new UsageError("name a setting to change");
      const administration = await context.administration(command);
      const changed = await administration.storages.change(id, settings, {
        signal: context.signal,
      });
      await printStorage(context, changed, flags);
    });
  addStates(storage, context);
  addTest(storage, context);
  addStorageCors(storage, context);
}

function addReading(storage: Command, context: Context): void {
  storage
    .command("ls")
    .summary("list storages")
    .option("--all", "retired ones too")
    .option("--json", "one JSON object per line")
    .action(async (flags: Flags, command: Command) => {
      const administration = await context.administration(command);
      const all = await administration.storages.list({ signal: context.signal });
      const storages = flags.all === true ? all : all.filter(({ state }) => state !== "retired");
      if (flags.json === true) {
        for (const item of storages) await context.printJson(item);
      } else if (storages.length > 0) {
        const rows = storages.map((item) => [item.id, item.driver, item.state, conditionOf(item)]);
        await context.print(formatTable(rows.map((row) => row.map(printable))));
      }
    });
  storage
    .command("show")
    .summary("print a storage, its state and settings; secrets are not shown")
    .argument("<name>")
    .option("--json", "as JSON")
    .action(async (id: string, flags: Flags, command: Command) => {
      const administration = await context.administration(command);
      const found = await administration.storages.get(id, { signal: context.signal });
      await printStorage(context, found, flags);
    });
}

const changes = [
  ["drain", "draining", "refuse new uploads, finish those that run"],
  ["read-only", "read-only", "read and delete only"],
  ["activate", "active", "take new uploads again"],
] as const;

function addStates(storage: Command, context: Context): void {
  for (const [name, state, summary] of changes) {
    const command = storage.command(name).summary(summary).argument("<name>");
    if (name === "drain") command.option("--wait", "until no upload runs on it any more");
    command
      .option("--json", "print the storage as JSON")
      .action(async (id: string, flags: Flags, self: Command) => {
        const administration = await context.administration(self);
        const { signal } = context;
        let changed = await administration.storages.change(id, { state }, { signal });
        while (flags.wait === true && changed.status.uploadsRunning > 0) {
          await wait(500, undefined, { signal });
          changed = await administration.storages.get(id, { signal });
        }
        if (flags.json === true) return await context.printJson(changed);
        const left = changed.status.uploadsRunning;
        if (left > 0) context.note(`${left} uploads still run on it`);
      });
  }
  storage
    .command("retire")
    .summary("take a drained, empty storage out for good")
    .argument("<name>")
    .option("--forget", "its name may be given to another storage")
    .action(async (id: string, { forget = false }: Flags, command: Command) => {
      const administration = await context.administration(command);
      await administration.storages.retire(id, { forget, signal: context.signal });
    });
}

function addTest(storage: Command, context: Context): void {
  storage
    .command("test")
    .summary("try everything that a storage can do; exit code 1 when a check fails")
    .argument("<name>")
    .option("--markdown", "as a text that can be pasted into an issue")
    .option("--json", "as JSON")
    .action(async (id: string, flags: Flags, command: Command) => {
      const administration = await context.administration(command);
      const found = await administration.storages.test(id, { signal: context.signal });
      if (flags.json === true) await context.printJson(found);
      else if (flags.markdown === true) await context.print(found.markdown.trimEnd());
      else await printTest(context, found);
      if (!found.ok) context.fail(new Error(found.refusal ?? "the test failed"), id);
    });
}

function withSettings(command: Command): Command {
  return command
    .argument("<name>")
    .option("--set <name=value>", "a setting; repeatable", collect)
    .option("--set-env <name=variable>", "a setting from the environment; repeatable", collect)
    .option("--default", "where bytes go when a bucket's placement does not say")
    .option("--json", "print the storage as JSON")
    .addHelpText("after", settingsHelp);
}

/** Names that are no settings of a driver, and have commands of their own. */
const reserved = new Set(["id", "driver", "state", "default", "status", "revision"]);

function settingsOf(flags: Flags, { terminal }: Context): StorageSettingsJson {
  const { set = [], setEnv = [], unset = [] } = flags;
  const entries: (readonly [string, unknown])[] = [];
  for (const given of set) {
    const [name, value] = split("--set", given);
    entries.push([name, parseValue(value)]);
  }
  for (const given of setEnv) {
    const [name, variable] = split("--set-env", given);
    const value = terminal.env[variable];
    if (value === undefined) throw new UsageError(`--set-env ${given}: ${variable} is not set`);
    entries.push([name, value]);
  }
  for (const name of unset) entries.push([name, null]);
  const wrong = entries.find(([name]) => reserved.has(name));
  if (wrong !== undefined) throw new UsageError(`${wrong[0]} is not a setting of a driver`);
  return { ...Object.fromEntries(entries), ...(flags.default === true ? { default: true } : {}) };
}

function split(flag: string, given: string): readonly [string, string] {
  const equals = given.indexOf("=");
  if (equals < 1) throw new UsageError(`${flag} ${given}: write NAME=VALUE`);
  return [given.slice(0, equals), given.slice(equals + 1)];
}

/** A long number that JSON would round is a key, and stays as it was typed. */
function parseValue(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "number" && String(value) !== text ? text : value;
  } catch {
    return text;
  }
}

function conditionOf({ default: isDefault, status }: StorageJson): string {
  const { open, problem, breaker } = status;
  return [
    ...(isDefault ? ["default"] : []),
    ...(breaker === "open" ? ["failing"] : []),
    ...(problem === null ? [] : [`${open ? "old settings" : "not open"}: ${problem}`]),
  ].join(", ");
}

async function printStorage(context: Context, storage: StorageJson, flags: Flags): Promise<void> {
  if (flags.json === true) return await context.printJson(storage);
  const { id, driver, state, default: isDefault, status, ...rest } = storage;
  const { revision, createdAt, changedAt, ...settings } = rest;
  const rows = [
    ["name", id],
    ["driver", driver],
    ["state", isDefault ? `${state}, default` : state],
    ["open", status.open ? "yes" : "no"],
    ...(status.problem === null ? [] : [["problem", status.problem]]),
    ["breaker", status.breaker ?? "none"],
    ["uploads", String(status.uploadsRunning)],
    ...Object.entries(settings).map(([name, value]) => [
      name,
      typeof value === "string" ? value : JSON.stringify(value),
    ]),
    ["revision", String(revision)],
    ["created", createdAt],
    ["changed", changedAt],
  ];
  await context.print(formatTable(rows.map((row) => row.map(printable))));
}

async function printTest(context: Context, found: StorageTestJson): Promise<void> {
  const steps = found.steps.map(({ name, outcome, ms, detail }) => [
    name,
    outcome,
    outcome === "skipped" ? "" : `${Math.round(ms)} ms`,
    detail ?? "",
  ]);
  const capabilities = found.capabilities.map(({ name, declared, seen, verdict }) => [
    name,
    declared,
    seen ?? "",
    verdict,
  ]);
  const heads = [
    ["STEP", "OUTCOME", "TIME", "DETAIL"],
    ["CAPABILITY", "DECLARED", "SEEN", "VERDICT"],
  ] as const;
  await context.print(formatTable([[...heads[0]], ...steps].map((row) => row.map(printable))));
  if (capabilities.length === 0) return;
  await context.print("");
  await context.print(
    formatTable([[...heads[1]], ...capabilities].map((row) => row.map(printable))),
  );
}
