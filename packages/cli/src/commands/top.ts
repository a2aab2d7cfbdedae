/** `roma top`: what a running server does, live. */
import { setTimeout as delay } from "node:timers/promises";
import { isRomaError } from "@roma/sdk/node";
import type { Command } from "commander";
import type { Context } from "../context.ts";
import { wholeNumber } from "../options.ts";
import { readExposition } from "../top/exposition.ts";
import { openScreen } from "../top/screen.ts";
import { type Look, type Status, statusBetween } from "../top/status.ts";
import { viewOf } from "../top/view.ts";

interface Flags {
  readonly ops?: string;
  readonly interval: number;
  readonly once?: boolean;
  readonly json?: boolean;
}

const uploadsMax = 20;
const answerMsMax = 10_000;
const opsPortDefault = "8421";

const help = `
Numbers come from /metrics of the operations listener (--ops, or ROMA_OPS_PORT on the server's host), uploads from the server
itself. q ends it. With --json each look is an object on a line.`;

export function addTop(program: Command, context: Context): void {
  program
    .command("top")
    .summary("watch a running server: requests, uploads, workers, storages")
    .option("--ops <url>", "address of the operations listener")
    .option("--interval <seconds>", "between two looks", wholeNumber(1, 3600), 2)
    .option("--once", "print one look, and end")
    .option("--json", "as JSON")
    .addHelpText("after", help)
    .action((flags: Flags, command: Command) => run(context, flags, command));
}

async function run(context: Context, flags: Flags, command: Command): Promise<void> {
  const { endpoint } = await context.connection(command);
  const ops = flags.ops ?? opsUrlOf(endpoint.value, context.terminal.env.ROMA_OPS_PORT);
  const { signal } = context;
  const look = lookWith(context, command, ops);
  if (flags.json === true || flags.once === true || context.terminal.stdout.isTTY !== true) {
    let before = await look(signal);
    do {
      await delay(flags.interval * 1000, undefined, { signal });
      const after = await look(signal);
      await printStatus(context, flags, {
        status: statusBetween(before, after),
        server: endpoint.value,
      });
      before = after;
    } while (flags.once !== true && flags.json === true);
    return;
  }
  let before = await look(signal);
  using screen = openScreen(context.terminal);
  screen.draw([`${endpoint.value}: the first numbers come in ${flags.interval} s; q ends this`]);
  while (!screen.ended.aborted) {
    await delay(flags.interval * 1000, undefined, { signal: screen.ended }).catch(() => {});
    if (screen.ended.aborted) return;
    try {
      const after = await look(screen.ended);
      screen.draw(viewOf(statusBetween(before, after), endpoint.value));
      before = after;
    } catch (error) {
      if (screen.ended.aborted) return;
      // It may come back, and whoever watches wants to see that.
      const reason = error instanceof Error ? error.message : String(error);
      screen.draw([`${endpoint.value}: does not answer (${reason}); q ends this`]);
    }
  }
}

async function printStatus(
  context: Context,
  flags: Flags,
  { status, server }: { readonly status: Status; readonly server: string },
): Promise<void> {
  if (flags.json === true) return await context.printJson(status);
  for (const line of viewOf(status, server)) await context.print(line);
}

/** Each look is of both at about one moment. */
function lookWith(
  context: Context,
  command: Command,
  ops: string,
): (signal: AbortSignal) => Promise<Look> {
  return async (signal) => {
    const [text, uploads] = await Promise.all([
      readMetrics(ops, signal),
      readUploads(context, command, signal),
    ]);
    return { atMs: Date.now(), metrics: readExposition(text), uploads };
  };
}

async function readMetrics(ops: string, signal: AbortSignal): Promise<string> {
  const bound = AbortSignal.any([signal, AbortSignal.timeout(answerMsMax)]);
  try {
    const answer = await fetch(new URL("/metrics", ops), { signal: bound });
    const text = await answer.text();
    if (answer.ok) return text;
    throw new Error(`status ${answer.status}`);
  } catch (error) {
    signal.throwIfAborted();
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`no metrics from ${ops}: ${reason}; --ops names the operations listener`);
  }
}

/** Null where the key may not list them: the rest is worth seeing all the same. */
async function readUploads(context: Context, command: Command, signal: AbortSignal) {
  try {
    const administration = await context.administration(command);
    for await (const page of administration.uploads.list({ limit: uploadsMax, signal })) {
      return page.uploads;
    }
    return [];
  } catch (error) {
    if (isRomaError(error, "access_denied") || isRomaError(error, "unauthenticated")) return null;
    throw error;
  }
}

function opsUrlOf(endpoint: string, port = opsPortDefault): string {
  const url = new URL(endpoint);
  return `http://${url.hostname}:${port}`;
}
