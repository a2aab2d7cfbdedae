/** `roma audit`: who changed what, and whether the log of it is whole. */
import { createReadStream } from "node:fs";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as wait } from "node:timers/promises";
import type { AuditRecordJson } from "@roma/contract";
import type { AuditFilter } from "@roma/sdk/node";
import type { Command } from "commander";
import { type ChainPoint, verifyChain } from "../audit-chain.ts";
import type { Context } from "../context.ts";
import { parseMoment } from "../moments.ts";
import { printable } from "../text.ts";
import { UsageError } from "../usage-error.ts";

interface Flags {
  readonly since?: string;
  readonly until?: string;
  readonly bucket?: string;
  readonly objectKey?: string;
  readonly actor?: string;
  readonly action?: string;
  readonly follow?: boolean;
  readonly json?: boolean;
}

interface VerifyFlags {
  readonly file?: string;
  readonly expect?: string;
  readonly json?: boolean;
}

const followMs = 1_000;

export function addAudit(program: Command, context: Context): void {
  const audit = program
    .command("audit")
    .summary("who changed what, from where and when")
    .option(
      "--since <moment>",
      "2h, 14:00, 2026-11-30; left out: the last 24 hours, or all with --json",
    )
    .option("--until <moment>", "before it")
    .option("--bucket <name>", "what concerns it")
    .option("--object-key <key>", "what concerns objects of this key")
    .option("--actor <id>", "of this access key, and the grants that it signed")
    .option("--action <name>", "like object.deleted, or request.refused")
    .option("--follow", "wait for what comes, until interrupted")
    .option(
      "--json",
      "one JSON record per line, as it was hashed: to be kept, and verified with --file",
    )
    .action(async (flags: Flags, command: Command) => {
      const { audit: log } = await context.administration(command);
      const filter = filterOf(flags);
      const { signal } = context;
      if (flags.json === true && flags.follow !== true) {
        for await (const bytes of log.export({ ...filter, signal })) await context.write(bytes);
        return;
      }
      let cursor: string | undefined;
      for (;;) {
        const at = cursor === undefined ? {} : { cursor };
        const page = await log.page({ ...filter, ...at, limit: 1000, signal });
        for (const record of page.records) {
          if (flags.json === true) await context.printJson(record);
          else await context.print(recordLine(record));
        }
        cursor = page.cursor;
        if (page.hasMore) continue;
        if (flags.follow !== true) return;
        await wait(followMs, undefined, { signal });
      }
    });
  audit
    .command("verify")
    .summary("whether no record was removed, changed or moved")
    .option("--file <path>", "an export of `roma audit --json`, instead of the server's own log")
    .option("--expect <sequence:hash>", "a head that was kept: the log must still contain it")
    .option("--json", "as JSON")
    .action(async (_flags: VerifyFlags, command: Command) => {
      // An option that the parent has as well is the parent's.
      const flags: VerifyFlags = command.optsWithGlobals();
      const expected = parseExpected(flags.expect);
      if (flags.file === undefined) await verifyServer(context, command, { ...flags, expected });
      else await verifyFile(context, flags.file, { ...flags, expected });
    });
}

async function verifyServer(
  context: Context,
  command: Command,
  { expected, json }: VerifyFlags & { readonly expected: ChainPoint | undefined },
): Promise<void> {
  const { audit: log } = await context.administration(command);
  const { signal } = context;
  if (expected !== undefined) {
    // Only the records themselves can show it.
    const lines = linesOf(log.export({ signal }));
    return await report(context, { ...(await verifyChain(lines, { expected })), json });
  }
  const { problems, ...found } = await log.verify({ signal });
  const named = problems.map(({ problem }) => ({ problem }));
  await report(context, { ...found, problems: named, json });
}

async function verifyFile(
  context: Context,
  path: string,
  { expected, json }: VerifyFlags & { readonly expected: ChainPoint | undefined },
): Promise<void> {
  const input = createReadStream(resolve(context.terminal.cwd, path));
  const lines = createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
  // Errors of the file end the stream, and reach nobody who waits for a line.
  const failed = new Promise<never>((_resolve, reject) => input.once("error", reject));
  const found = await Promise.race([verifyChain(lines, { expected }), failed]);
  await report(context, { ...found, json });
}

async function report(
  context: Context,
  found: {
    readonly checked: number;
    readonly problems: readonly { readonly line?: number; readonly problem: string }[];
    readonly anchor: ChainPoint | undefined;
    readonly head: ChainPoint | undefined;
    readonly json: boolean | undefined;
  },
): Promise<void> {
  const { json, ...facts } = found;
  if (json === true) await context.printJson({ ...facts, ok: facts.problems.length === 0 });
  else {
    for (const { line, problem } of facts.problems) {
      await context.print(`${line === undefined ? "" : `line ${line}: `}${printable(problem)}`);
    }
    const { head, checked } = facts;
    const state = facts.problems.length === 0 ? "whole" : "NOT whole";
    const newest = head === undefined ? "" : `, head ${head.sequence}:${head.hash}`;
    await context.print(`${state}: ${checked} records${newest}`);
  }
  if (facts.problems.length > 0) context.failures.add(new Error("the audit log is not whole"));
}

async function* linesOf(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of bytes) {
    const texts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = texts.pop() ?? "";
    yield* texts;
  }
  if (rest !== "") yield rest;
}

function filterOf(flags: Flags): AuditFilter {
  const since = flags.since ?? (flags.json === true ? undefined : "24h");
  const { bucket, objectKey: key, actor, action } = flags;
  return {
    ...(since === undefined ? {} : { since: parseMoment("--since", since) }),
    ...(flags.until === undefined ? {} : { until: parseMoment("--until", flags.until) }),
    ...(bucket === undefined ? {} : { bucket }),
    ...(key === undefined ? {} : { key }),
    ...(actor === undefined ? {} : { actor }),
    ...(action === undefined ? {} : { action }),
  };
}

function parseExpected(text: string | undefined): ChainPoint | undefined {
  if (text === undefined) return undefined;
  const [, sequence, hash] = /^(\d{1,15}):([0-9a-f]{64})$/.exec(text) ?? [];
  if (sequence === undefined || hash === undefined) {
    throw new UsageError(
      `--expect ${text}: write SEQUENCE:HASH, as \`roma audit verify\` prints it`,
    );
  }
  return { sequence: Number(sequence), hash };
}

/** When, who, from where, what, to which object. */
function recordLine(record: AuditRecordJson): string {
  const { at, action, result, actor, address, bucket, key, from, repeated, permission } = record;
  const who = actor.id === undefined ? actor.kind : `${actor.kind} ${actor.id}`;
  const place = bucket === undefined ? "" : key === undefined ? bucket : `${bucket}/${key}`;
  const parts = [
    at,
    `${action}${result === "done" ? "" : ` (${[result, permission].filter(Boolean).join(" ")})`}`,
    who,
    address ?? "-",
    `${from === undefined ? "" : `${from.bucket}/${from.key} -> `}${place || detailOf(record)}`,
    ...(repeated === undefined ? [] : [`${repeated} more times`]),
  ];
  return parts.map(printable).join("  ");
}

/** Of what is no object or bucket: which one. */
function detailOf({ details = {} }: AuditRecordJson): string {
  const named = details.accessKey ?? details.storage ?? details.setting ?? "";
  return typeof named === "string" ? named : "";
}
