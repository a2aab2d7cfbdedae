/**
 * The log of a server process: pino's JSON lines to stdout or stderr, and to a file if one is configured.
 * No failure to write a line reaches whoever logs, and no slow reader slows anybody: `line-sink.ts`.
 */
import { hostname } from "node:os";
import { pino } from "pino";
import { type Alerts, silentAlerts } from "../core/ports/alerts.ts";
import type { Log } from "../core/ports/log.ts";
import type { Meter } from "../core/ports/meter.ts";
import type { LogConfig } from "./config.ts";
import { LineSink } from "./line-sink.ts";
import { type DropReason, FileTarget, type LineTarget, standardTarget } from "./line-target.ts";
import { loggable } from "./loggable.ts";
import { currentRequest } from "./request-context.ts";

export interface ServerLog extends Log {
  /** Counts dropped lines as `log_lines_dropped_total`, those too that were dropped before, and raises `log_lines_dropped`. */
  countTo(meter: Meter, alerts?: Alerts): void;
  /** Writes what waits, and takes nothing more. False when that was not done within `msMax`: the rest is given up. */
  end(msMax: number): Promise<boolean>;
}

export interface ServerLogOptions {
  /** Fields of every line, beside `pid` and `hostname`. */
  readonly fields?: Readonly<Record<string, string | number>>;
  /** Left out: those of the process, as the format wants them. */
  readonly targets?: readonly { readonly name: string; readonly target: LineTarget }[];
}

/** Never fails: what cannot be opened drops its lines. */
export function createServerLog(config: LogConfig, options: ServerLogOptions = {}): ServerLog {
  const base = { pid: process.pid, hostname: hostname(), ...options.fields };
  const drops = new DropCounts();
  const sinks: LineSink[] = [];
  const emit = (line: string, except?: string): void => {
    const bounded = withinBytes(line, config.lineBytesMax);
    for (const sink of sinks) if (sink.name !== except) sink.write(bounded);
  };
  const ownLine = (level: number, fields: object, msg: string): string =>
    JSON.stringify({ level, time: Date.now(), ...base, ...fields, msg });
  for (const { name, target } of options.targets ?? targetsOf(config)) {
    sinks.push(
      new LineSink({
        name,
        target,
        bytesMax: config.bufferBytes,
        notice: (dropped) => {
          const lines = Object.values(dropped).reduce((sum, count) => sum + count, 0);
          return ownLine(40, { log: name, dropped }, `${lines} log lines were dropped`);
        },
        onFailure: (reason, error) => {
          if (config.level === "silent") return;
          const why = error instanceof Error ? error.message : String(error);
          const fields = { log: name, reason, detail: why };
          const message = `the log cannot be written to ${name}: its lines are dropped until it works again`;
          emit(`${ownLine(50, fields, message)}\n`, name);
        },
        onRecovery: () => drops.writes(name),
        onDrop: (reason, lines) => drops.add(name, reason, lines),
      }),
    );
  }
  const log = pino(
    {
      level: config.level,
      base,
      formatters: { log: loggable },
      serializers: { err: (error: unknown) => error },
      mixin: currentRequest,
    },
    { write: (line: string) => emit(line) },
  );
  process.once("exit", () => {
    for (const sink of sinks) sink.flushAtExit();
  });
  return {
    debug: (fields, message) => log.debug(fields, message),
    info: (fields, message) => log.info(fields, message),
    warn: (fields, message) => log.warn(fields, message),
    error: (fields, message) => log.error(fields, message),
    countTo: (meter, alerts) => drops.countTo(meter, alerts),
    end: async (msMax) => {
      const done = await Promise.all(sinks.map((sink) => sink.close(msMax)));
      return done.every(Boolean);
    },
  };
}

function targetsOf({ format, file }: LogConfig) {
  const standard =
    format === "json"
      ? { name: "stdout", target: standardTarget(1) }
      : { name: "stderr", target: standardTarget(2) };
  return file === undefined
    ? [standard]
    : [standard, { name: "file", target: new FileTarget(file) }];
}

/** Lines are dropped before there is a meter, too. */
class DropCounts {
  readonly #before: {
    readonly sink: string;
    readonly reason: DropReason;
    readonly lines: number;
  }[] = [];
  #meter: Meter | undefined;
  #alerts: Alerts = silentAlerts;
  /** Places whose lines are being dropped. */
  readonly #failing = new Set<string>();

  /** Lines can be written there again. */
  writes(sink: string): void {
    if (!this.#failing.delete(sink) || this.#failing.size > 0) return;
    this.#alerts.clear("log_lines_dropped");
  }

  add(sink: string, reason: DropReason, lines: number): void {
    this.#raise(sink, reason);
    if (this.#meter !== undefined) {
      this.#meter.count("log_lines_dropped_total", lines, { sink, reason });
    } else if (this.#before.length < beforeMax) {
      this.#before.push({ sink, reason, lines });
    }
  }

  /** Once for each place: whoever hears of it may log a line, which is dropped as well. */
  #raise(sink: string, reason: DropReason): void {
    if (this.#meter === undefined || this.#failing.has(sink)) return;
    this.#failing.add(sink);
    const message = `log lines cannot be written to ${sink} (${reason}) and are dropped`;
    this.#alerts.raise("log_lines_dropped", { sink, reason }, message);
  }

  countTo(meter: Meter, alerts: Alerts = silentAlerts): void {
    this.#meter = meter;
    this.#alerts = alerts;
    for (const { sink, reason, lines } of this.#before.splice(0)) this.add(sink, reason, lines);
  }
}

/** Nobody counts in an embedding that has no metrics. */
const beforeMax = 10_000;

/** A line that is too long keeps what tells it from others, and the beginning of its message. */
function withinBytes(line: string, bytesMax: number): string {
  // A character has at most three bytes in UTF-8.
  if (line.length * 3 <= bytesMax || Buffer.byteLength(line) <= bytesMax) return line;
  const known: unknown = JSON.parse(line);
  const kept: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(known as object)) {
    if (keptOfLong.has(name)) kept[name] = typeof value === "string" ? value.slice(0, 500) : value;
  }
  return `${JSON.stringify({ ...kept, cutBytes: Buffer.byteLength(line) })}\n`;
}

const keptOfLong: ReadonlySet<string> = new Set([
  ...["level", "time", "pid", "hostname", "worker", "msg"],
  ...["requestId", "traceId", "method", "path", "status", "code", "storageId"],
]);
