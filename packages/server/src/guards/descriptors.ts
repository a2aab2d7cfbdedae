/**
 * Leaves room among the process's descriptors for logs, health and the metadata store. The limit may change while the
 * process runs (`prlimit --pid`), so it is read again at each look, from a descriptor that is already open: where none
 * is left, nothing else can be read. Node itself raises the soft limit to the hard one at its start.
 *
 * Few are left: requests are answered with 503 and their connections closed, idle connections are closed. Very few: new
 * connections are closed at once. None: a handful that was kept in reserve is given back, so that the listener
 * of health can accept; their numbers are low, and so below a limit that was lowered.
 */
import { closeSync, openSync, readdirSync, readSync, statSync } from "node:fs";
import type { FastifyInstance } from "fastify";
import { OperationalError } from "../core/errors.ts";
import { type Alerts, silentAlerts } from "../core/ports/alerts.ts";
import type { Log } from "../core/ports/log.ts";
import type { Meter } from "../core/ports/meter.ts";
import type { DescriptorsConfig } from "./config.ts";
import { SampledGauges } from "./sampled-gauges.ts";

export interface DescriptorGuardOptions {
  readonly config: DescriptorsConfig;
  readonly log: Log;
  readonly meter: Meter;
  readonly alerts?: Alerts | undefined;
}

/** 0: enough; 1: requests are refused; 2: connections, too. */
type Level = 0 | 1 | 2;

const lookMs = 250;
const sparesMax = 16;
/** Once low, so much more must be free again. */
const wayBack = 1.2;

export class DescriptorGuard implements Disposable {
  readonly #options: DescriptorGuardOptions;
  readonly #gauges: SampledGauges;
  readonly #alerts: Alerts;
  readonly #apps: FastifyInstance[] = [];
  readonly #spares: number[] = [];
  /** Of `/proc/self/limits`; undefined where there is none, and nothing is guarded. */
  #limits: number | undefined;
  #limit = Number.POSITIVE_INFINITY;
  #level: Level = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: DescriptorGuardOptions) {
    this.#options = options;
    this.#gauges = new SampledGauges(options.meter);
    this.#alerts = options.alerts ?? silentAlerts;
    try {
      this.#limits = openSync("/proc/self/limits", "r");
    } catch {
      return;
    }
    this.#keepSpares();
    this.#look();
    this.#timer = setInterval(() => this.#look(), lookMs);
    this.#timer.unref();
  }

  /** To be called before protocols are registered on the instance. */
  admitTo(app: FastifyInstance): void {
    if (this.#limits === undefined) return;
    this.#apps.push(app);
    app.server.on("connection", (socket) => {
      // Each takes one: between two looks many may come.
      if (this.#level === 0 && this.#free() < this.#reserve()) this.#look();
      if (this.#level < 2) return;
      this.#options.meter.count("descriptors_refused_total");
      socket.destroy();
    });
    app.addHook("onRequest", (_request, reply, done) => {
      if (this.#level === 0) {
        done();
        return;
      }
      this.#options.meter.count("descriptors_refused_total");
      reply.header("connection", "close");
      const message = "the server has few file descriptors left";
      done(new OperationalError("overloaded", message, { context: { limit: "descriptors" } }));
    });
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#giveSpares();
    if (this.#limits !== undefined) closeSync(this.#limits);
    this.#limits = undefined;
    this.#level = 0;
  }

  #look(): void {
    this.#limit = this.#readLimit();
    const used = countOpen();
    const free = this.#limit - used;
    const reserve = this.#reserve();
    const before = this.#level;
    const isBelow = (mark: number, level: Level): boolean =>
      free < (before >= level ? wayBack * mark : mark);
    this.#level = isBelow(reserve / 2, 2) ? 2 : isBelow(reserve, 1) ? 1 : 0;
    if (free < this.#spares.length / 2) this.#giveSpares();
    else if (this.#level === 0) this.#keepSpares();
    if (this.#level > 0) for (const app of this.#apps) app.server.closeIdleConnections();
    this.#gauges.set("descriptors_open", used);
    this.#gauges.set("descriptors_limit", this.#limit);
    this.#tell(before, { used, limit: this.#limit });
  }

  #tell(before: Level, fields: { readonly used: number; readonly limit: number }): void {
    const { used, limit } = fields;
    if (this.#level === 0) {
      this.#alerts.clear("descriptors_low");
      if (before > 0) this.#options.log.info(fields, "there are enough file descriptors again");
      return;
    }
    const message = `${used} of ${limit} file descriptors are open: requests are refused`;
    this.#alerts.raise("descriptors_low", fields, message);
    if (before === 0) this.#options.log.error(fields, message);
  }

  #free(): number {
    return this.#limit - countOpen();
  }

  /** A process with few has to do with less. */
  #reserve(): number {
    return Math.min(this.#options.config.reserve, Math.floor(this.#limit / 4));
  }

  #readLimit(): number {
    if (this.#limits === undefined) return Number.POSITIVE_INFINITY;
    const buffer = Buffer.alloc(4096);
    const length = readSync(this.#limits, buffer, 0, buffer.length, 0);
    const soft = /^Max open files\s+(\d+)/m.exec(buffer.toString("latin1", 0, length))?.[1];
    return soft === undefined ? Number.MAX_SAFE_INTEGER : Number(soft);
  }

  #keepSpares(): void {
    try {
      while (this.#spares.length < sparesMax) this.#spares.push(openSync("/dev/null", "r"));
    } catch {
      // There is none left: the next look says so.
    }
  }

  #giveSpares(): void {
    for (const spare of this.#spares.splice(0)) closeSync(spare);
  }
}

/**
 * The kernel tells the number of entries as the folder's size since Linux 6.2, which needs no descriptor. Before that the
 * folder is read, and a process that cannot has all of them open.
 */
function countOpen(): number {
  const { size } = statSync("/proc/self/fd");
  if (size > 0) return size;
  try {
    return readdirSync("/proc/self/fd").length - 1;
  } catch {
    return Number.MAX_SAFE_INTEGER;
  }
}
