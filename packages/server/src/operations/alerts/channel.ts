/**
 * A way to people: messages one after the other, each tried again with growing waits, in a queue that is bounded.
 * Whatever goes wrong is counted and logged, and hurts nobody.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Log } from "../../core/ports/log.ts";
import type { Meter } from "../../core/ports/meter.ts";
import type { Alert } from "./alert.ts";

export interface AlertMessage {
  readonly status: "firing" | "resolved";
  readonly alert: Alert;
  /** Which server says it: its address, and its environment if it has one. */
  readonly server: string;
  readonly environment: string | null;
  /** Names one alert from its beginning to its end: whoever got a message twice sees it. */
  readonly id: string;
}

/** Sends one message once. Rejects when it was not taken. */
export interface Sender {
  readonly channel: "webhook" | "email";
  send(message: AlertMessage, signal: AbortSignal): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface ChannelOptions {
  readonly sender: Sender;
  readonly log: Log;
  readonly meter: Meter;
  /** Of one attempt. */
  readonly msMax: number;
  /** Attempts for a message; by default 6, over about a minute. */
  readonly attemptsMax?: number;
  /** Before the second attempt, doubled each time; by default 2 s. */
  readonly waitMs?: number;
}

const queueMax = 200;
const waitMsMax = 60_000;

export class Channel implements AsyncDisposable {
  readonly #options: ChannelOptions;
  readonly #queue: AlertMessage[] = [];
  readonly #closing = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: ChannelOptions) {
    this.#options = options;
  }

  /** Never waits. The oldest goes when too many wait: the newest say how it is. */
  push(message: AlertMessage): void {
    if (this.#closing.signal.aborted) return;
    this.#queue.push(message);
    if (this.#queue.length > queueMax) {
      this.#queue.shift();
      this.#options.meter.count("alerts_dropped_total", 1, {
        channel: this.#options.sender.channel,
      });
    }
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  /** What waits gets `msMax` more, without further attempts. */
  async close(msMax: number): Promise<void> {
    const timer = setTimeout(() => this.#closing.abort(), msMax);
    await this.#running;
    clearTimeout(timer);
    this.#closing.abort();
    await this.#options.sender[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close(0);
  }

  async #run(): Promise<void> {
    for (;;) {
      const message = this.#queue.shift();
      if (message === undefined || this.#closing.signal.aborted) return;
      await this.#sendOne(message);
    }
  }

  async #sendOne(message: AlertMessage): Promise<void> {
    const { sender, log, meter, msMax, attemptsMax = 6, waitMs = 2_000 } = this.#options;
    const { channel } = sender;
    for (let attempt = 1; ; attempt++) {
      const signal = AbortSignal.any([AbortSignal.timeout(msMax), this.#closing.signal]);
      try {
        await sender.send(message, signal);
        meter.count("alerts_sent_total", 1, { channel, outcome: "ok" });
        return;
      } catch (error) {
        const last = attempt >= attemptsMax || this.#closing.signal.aborted;
        if (last) {
          meter.count("alerts_sent_total", 1, { channel, outcome: "failed" });
          const { name } = message.alert;
          // Its message may repeat the address, which may be a secret.
          log.error(
            { channel, alert: name, attempts: attempt, failure: kindOf(error) },
            "an alert was not sent",
          );
          return;
        }
      }
      const wait = Math.min(waitMsMax, waitMs * 2 ** (attempt - 1)) * (0.75 + Math.random() / 2);
      await delay(wait, undefined, { signal: this.#closing.signal }).catch(() => {});
    }
  }
}

function kindOf(error: unknown): string {
  if (!(error instanceof Error)) return "unknown";
  const code: unknown = Reflect.get(error, "responseCode") ?? Reflect.get(error, "code");
  const kind = typeof code === "string" || typeof code === "number" ? String(code) : error.name;
  return error instanceof RefusedError ? error.message : kind;
}

/** What a receiver answered; without anything secret. */
export class RefusedError extends Error {
  override readonly name = "RefusedError";
}
