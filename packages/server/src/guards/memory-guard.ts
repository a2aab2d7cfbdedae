/** Admits requests by the memory that they may hold, and tells how much of everything this process holds. */
import type { Socket } from "node:net";
import { type EventLoopUtilization, performance } from "node:perf_hooks";
import { getHeapStatistics } from "node:v8";
import type { FastifyInstance } from "fastify";
import { type Alerts, silentAlerts } from "../core/ports/alerts.ts";
import type { Log } from "../core/ports/log.ts";
import type { Meter } from "../core/ports/meter.ts";
import { declaredLength, requestScope, requestSignal } from "../http/index.ts";
import type { MemoryConfig } from "./config.ts";
import { type MemoryShares, requestBytes } from "./memory-budget.ts";
import { MemoryRoom } from "./memory-room.ts";
import { SampledGauges } from "./sampled-gauges.ts";

export interface MemoryGuardOptions {
  readonly config: MemoryConfig;
  readonly shares: MemoryShares;
  /** Bytes in use of what others keep within their shares. */
  readonly used: () => { readonly parts: number; readonly reads: number };
  readonly log: Log;
  readonly meter: Meter;
  readonly alerts?: Alerts | undefined;
  readonly sampleMs?: number;
}

/** What this process holds, as of now. Bytes, but for counts and the share of time. */
export interface MemorySample {
  readonly residentBytes: number;
  readonly heapUsedBytes: number;
  readonly heapTotalBytes: number;
  readonly heapLimitBytes: number;
  readonly externalBytes: number;
  readonly arrayBuffersBytes: number;
  readonly buffersBytes: number;
  readonly buffersBytesMax: number;
  /** The most listeners of one event on one connection. */
  readonly listenersMax: number;
  /** What keeps the event loop busy, by kind: `TCPSocketWrap`, `FSReqCallback` … */
  readonly resources: Readonly<Record<string, number>>;
  /** Share of the time since the last sample in which the event loop was busy. */
  readonly eventLoopUtilization: number;
}

const sampleMsDefault = 2_000;
/** Of so many connections the listeners are counted at each look. */
const connectionsLookedAt = 200;
/** Refusals are told of until there was none for so long. */
const calmMs = 60_000;

export class MemoryGuard implements Disposable {
  readonly #options: MemoryGuardOptions;
  readonly #room: MemoryRoom;
  readonly #gauges: SampledGauges;
  readonly #alerts: Alerts;
  readonly #connections = new Set<Socket>();
  readonly #timer: NodeJS.Timeout;
  #utilization: EventLoopUtilization = performance.eventLoopUtilization();
  #told = { waited: 0, refused: 0 };
  #refusedAt: number | undefined;

  constructor(options: MemoryGuardOptions) {
    const { shares, config, meter, log } = options;
    this.#options = options;
    this.#room = new MemoryRoom({
      bytesMax: shares.requestBytesMax,
      waitMsMax: config.waitMsMax,
    });
    this.#gauges = new SampledGauges(meter);
    this.#alerts = options.alerts ?? silentAlerts;
    this.#tellOften();
    this.#timer = setInterval(() => this.#tellOften(), options.sampleMs ?? sampleMsDefault);
    this.#timer.unref();
    log.debug({ ...shares }, "memory for bytes on their way");
  }

  /** Requests of the instance are admitted by memory. To be called before protocols are registered on it. */
  admitTo(app: FastifyInstance): void {
    app.server.on("connection", (socket) => {
      this.#connections.add(socket);
      socket.once("close", () => this.#connections.delete(socket));
    });
    app.addHook("onRequest", (request, _reply, done) => {
      const { method, raw } = request;
      const bytes = requestBytes({ method, bodyLength: declaredLength(raw) });
      if (bytes === 0) {
        done();
        return;
      }
      const admitted = (): void => {
        // Comes once, however the answer ends; while it waited, a client that left had it rejected.
        requestScope(request).atClose(() => this.#room.give(bytes));
        done();
      };
      const taken = this.#room.take(bytes, requestSignal(request));
      if (taken === true) admitted();
      else taken.then(admitted, (error: Error) => done(error));
    });
  }

  sample(): MemorySample {
    const { rss, heapUsed, heapTotal, external, arrayBuffers } = process.memoryUsage();
    const { parts, reads } = this.#options.used();
    const utilization = performance.eventLoopUtilization();
    const since = performance.eventLoopUtilization(utilization, this.#utilization);
    this.#utilization = utilization;
    const resources: Record<string, number> = {};
    for (const kind of process.getActiveResourcesInfo()) {
      resources[kind] = (resources[kind] ?? 0) + 1;
    }
    return {
      residentBytes: rss,
      heapUsedBytes: heapUsed,
      heapTotalBytes: heapTotal,
      heapLimitBytes: getHeapStatistics().heap_size_limit,
      externalBytes: external,
      arrayBuffersBytes: arrayBuffers,
      buffersBytes: this.#room.usedBytes + parts + reads,
      buffersBytesMax: this.#options.shares.bytesMax,
      listenersMax: this.#listenersMax(),
      resources,
      eventLoopUtilization: since.utilization,
    };
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #tellOften(): void {
    const { shares, used, meter } = this.#options;
    const now = this.sample();
    const { parts, reads } = used();
    const set = (name: string, value: number) => this.#gauges.set(name, value);
    set("memory_array_buffers_bytes", now.arrayBuffersBytes);
    set("memory_heap_limit_bytes", now.heapLimitBytes);
    set("memory_socket_listeners_max", now.listenersMax);
    set("event_loop_utilization_ratio", now.eventLoopUtilization);
    const uses = [
      ["requests", this.#room.usedBytes, shares.requestBytesMax],
      ["parts", parts, shares.partBytesMax],
      ["reads", reads, shares.readBytesMax],
    ] as const;
    for (const [use, bytes, bytesMax] of uses) {
      this.#gauges.set("memory_buffers_bytes", bytes, { use });
      this.#gauges.set("memory_buffers_max_bytes", bytesMax, { use });
    }
    const { waited, refused } = this.#room.counts;
    meter.count("memory_waited_total", waited - this.#told.waited);
    meter.count("memory_refused_total", refused - this.#told.refused);
    this.#noteRefusals(refused - this.#told.refused);
    this.#told = { waited, refused };
  }

  #noteRefusals(refused: number): void {
    const nowMs = performance.now();
    if (refused > 0) {
      const fields = { refused, bytes: this.#room.usedBytes, bytesMax: this.#room.bytesMax };
      const message = "the memory for bytes on their way is used up: requests are refused";
      if (this.#refusedAt === undefined) this.#options.log.warn(fields, message);
      this.#refusedAt = nowMs;
      this.#alerts.raise("memory_high", fields, message);
    } else if (this.#refusedAt !== undefined && nowMs - this.#refusedAt > calmMs) {
      this.#refusedAt = undefined;
      this.#alerts.clear("memory_high");
    }
  }

  /** Of some connections, others at each look. */
  #listenersMax(): number {
    let most = 0;
    let looked = 0;
    for (const socket of this.#connections) {
      if (looked >= connectionsLookedAt) break;
      looked += 1;
      for (const event of socket.eventNames()) {
        most = Math.max(most, socket.listenerCount(event));
      }
      // To the end of the order: the next look begins with those behind.
      this.#connections.delete(socket);
      this.#connections.add(socket);
    }
    return most;
  }
}
