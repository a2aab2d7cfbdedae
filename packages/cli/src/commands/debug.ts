/**
 * `roma debug`: has a process of a server on this machine write down what is in it. Over the sockets in
 * the debug folder, as whoever the server runs as: works when the server takes no requests.
 */
import { readdir, rm } from "node:fs/promises";
import { connect } from "node:net";
import { join, resolve } from "node:path";
import { text } from "node:stream/consumers";
import { Argument, type Command } from "commander";
import type { Context } from "../context.ts";
import { UsageError } from "../usage-error.ts";

const kinds = ["heap-snapshot", "allocation-profile", "report"] as const;

const help = `
  workers             which processes there are, with their memory
  heap-snapshot       all that is in V8's heap; the worker answers nothing meanwhile
  allocation-profile  where memory is taken, watched for --seconds
  report              Node's diagnostic report: stacks, handles, heap spaces, limits

The file's path is printed. It shows what is in memory, secrets too: it is for its owner alone, and should
be deleted when it was looked at. On the server's machine, as the server's user or root.`;

interface Flags {
  readonly worker?: string;
  readonly seconds?: string;
  readonly data?: string;
  readonly config?: string;
  readonly json?: boolean;
}

interface Process {
  readonly socket: string;
  readonly worker: number;
  readonly pid: number;
  readonly rssBytes: number;
  readonly heapBytes: number;
}

export function addDebug(program: Command, context: Context): void {
  program
    .command("debug")
    .summary("write down what is in a worker: heap, allocations, report")
    .addArgument(new Argument("<what>").choices(["workers", ...kinds]))
    .option("--worker <number>", "which, by its number or process id; left out: the only one")
    .option("--seconds <n>", "how long allocations are watched, 1 to 120; 10 if left out")
    .option("--data <dir>", "the server's data folder; ROMA_DATA, or ./roma-data")
    .option("--config <file>", "the server's configuration, for its debug folder")
    .option("--json", "as JSON")
    .addHelpText("after", help)
    .action((what: string, flags: Flags) => debug(context, what, flags));
}

async function debug(context: Context, what: string, flags: Flags): Promise<void> {
  const { debugFolder, loadServerConfig } = await import("@roma/server/serve");
  const folder = resolve(context.terminal.cwd, debugFolder(loadServerConfig(serverFlags(flags))));
  const processes = await findProcesses(folder);
  if (what === "workers") {
    for (const { worker, pid, rssBytes, heapBytes } of processes) {
      if (flags.json === true) await context.printJson({ worker, pid, rssBytes, heapBytes });
      else {
        const memory = `${inMebibytes(rssBytes)} resident, ${inMebibytes(heapBytes)} in the heap`;
        await context.print(`worker ${worker}  process ${pid}  ${memory}`);
      }
    }
    return;
  }
  const chosen = choose(processes, folder, flags.worker);
  const seconds = flags.seconds === undefined ? 10 : Number(flags.seconds);
  if (!(seconds >= 1 && seconds <= 120)) throw new UsageError("--seconds must be from 1 to 120");
  const { path, error } = await ask(chosen.socket, { dump: what, seconds });
  if (typeof path !== "string") throw new Error(String(error ?? "the process ended meanwhile"));
  if (flags.json === true)
    await context.printJson({ worker: chosen.worker, pid: chosen.pid, path });
  else await context.print(path);
}

function choose(processes: readonly Process[], folder: string, wanted?: string): Process {
  if (processes.length === 0) {
    throw new Error(`no server has its sockets in ${folder}: say --data or --config`);
  }
  const matching = processes.filter(
    ({ worker, pid }) => wanted === undefined || wanted === `${worker}` || wanted === `${pid}`,
  );
  const [only] = matching;
  if (only !== undefined && matching.length === 1) return only;
  const there = processes.map(({ worker, pid }) => `${worker} (process ${pid})`).join(", ");
  throw new UsageError(`say which --worker: ${there}`);
}

async function findProcesses(folder: string): Promise<readonly Process[]> {
  const names = await readdir(folder).catch(() => []);
  const sockets = names.filter((name) => name.endsWith(".sock")).map((name) => join(folder, name));
  const found = await Promise.all(
    sockets.map(async (socket): Promise<Process | undefined> => {
      try {
        const { worker, pid, rssBytes, heapBytes } = await ask(socket, {});
        const numbers = [worker, pid, rssBytes, heapBytes].map(Number);
        const [number = 0, id = 0, rss = 0, heap = 0] = numbers;
        return { socket, worker: number, pid: id, rssBytes: rss, heapBytes: heap };
      } catch (error) {
        // Left by a process that was killed.
        if (isRefused(error)) await rm(socket, { force: true });
        return undefined;
      }
    }),
  );
  return found.filter((one) => one !== undefined).sort((one, other) => one.worker - other.worker);
}

async function ask(socket: string, request: object): Promise<Readonly<Record<string, unknown>>> {
  const connection = connect(socket);
  connection.write(`${JSON.stringify(request)}\n`);
  const answer = await text(connection);
  return answer === "" ? {} : (JSON.parse(answer) as Readonly<Record<string, unknown>>);
}

function isRefused(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ECONNREFUSED";
}

function serverFlags({ data, config }: Flags): readonly string[] {
  return [
    ...(data === undefined ? [] : ["--data", data]),
    ...(config === undefined ? [] : ["--config", config]),
  ];
}

function inMebibytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}
