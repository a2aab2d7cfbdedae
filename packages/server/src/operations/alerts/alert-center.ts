/**
 * Conditions of this server, and the messages about them. Each worker knows its own and tells the others each
 * time one begins or ends; one worker, the leader, compares what holds anywhere with what was sent and sends the
 * difference: one message when an alert begins, one each `repeatMs` while it goes on, one when it is over. What
 * was sent is told to all, so that another leader goes on where this one ended.
 *
 *     raise ─▶ own ─┬─▶ all workers' ─▶ leader: begun, repeated, over ─▶ channels
 *     clear ─▶      └─▶ log, alerts_active
 */
import { randomUUID } from "node:crypto";
import type { AlertFields, Alerts } from "../../core/ports/alerts.ts";
import type { Clock } from "../../core/ports/clock.ts";
import type { Log } from "../../core/ports/log.ts";
import type { Meter } from "../../core/ports/meter.ts";
import type { Json, Siblings } from "../../core/ports/siblings.ts";
import { type Alert, alertKey, alertsOf, makeAlert } from "./alert.ts";
import type { Channel } from "./channel.ts";
import { definitionOf } from "./definitions.ts";

export interface AlertCenterOptions {
  readonly siblings: Siblings;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly channels: readonly Channel[];
  readonly repeatMs: number;
  readonly settleMs: number;
  /** Between two looks; by default 1 s. */
  readonly tickMs?: number;
  /** Which server says it, once it is known. */
  readonly about: () => { readonly server: string; readonly environment: string | null };
}

/** Where what was sent is kept, for a start after this one: the metadata store's settings. */
export interface SentMemory {
  getSetting(name: string): Promise<string | undefined>;
  putSetting(name: string, value: string): Promise<void>;
}

const sentSetting = "alerts.sent";

/** Topics. */
const stateTopic = "alerts";
const wantedTopic = "alerts-wanted";
const sentTopic = "alerts-sent";

/** A worker says its state at least as often; what is silent for longer is gone, with its alerts. */
const sayMs = 10_000;
const silentMsMax = 45_000;
const ownMax = 500;
const closeMsMax = 3_000;

interface Own {
  readonly alert: Alert;
  /** Of events: when it counts as over; of the clock that never goes back. */
  endsAt?: number;
}

interface Sent {
  readonly id: string;
  readonly alert: Alert;
  sentAt: number;
  /** Since when the condition is gone. */
  goneAt?: number | undefined;
}

export class AlertCenter implements Alerts, AsyncDisposable {
  readonly #options: AlertCenterOptions;
  readonly #own = new Map<string, Own>();
  readonly #others = new Map<string, { readonly at: number; readonly alerts: readonly Alert[] }>();
  readonly #sent = new Map<string, Sent>();
  readonly #timer: NodeJS.Timeout;
  #leads = false;
  #closed = false;
  #saidAt = Number.NEGATIVE_INFINITY;

  constructor(options: AlertCenterOptions) {
    this.#options = options;
    const { siblings } = options;
    siblings.on(stateTopic, (message, from) => {
      this.#others.set(from, { at: this.#now, alerts: alertsOf(message) });
      this.#look();
      return null;
    });
    siblings.on(wantedTopic, () => {
      this.#say();
      return null;
    });
    siblings.on(sentTopic, (message) => {
      this.#takeSent(message);
      return null;
    });
    this.#timer = setInterval(() => this.#tick(), options.tickMs ?? 1_000).unref();
    siblings.lead(async (signal) => await this.#lead(signal));
  }

  /** Alerts that hold in this worker now. */
  get active(): readonly Alert[] {
    return [...this.#own.values()].map(({ alert }) => alert);
  }

  raise(name: string, fields: AlertFields, message: string): void {
    if (this.#closed) return;
    const { clock, log, meter } = this.#options;
    const alert = makeAlert(name, fields, message, clock.now());
    const key = alertKey(name, alert.labels);
    const { lastsMs } = definitionOf(name);
    const known = this.#own.get(key);
    if (known !== undefined) {
      if (lastsMs !== undefined) known.endsAt = this.#now + lastsMs;
      return;
    }
    // So many at once say the same as fewer.
    if (this.#own.size >= ownMax) return;
    this.#own.set(key, lastsMs === undefined ? { alert } : { alert, endsAt: this.#now + lastsMs });
    meter.gauge("alerts_active", 1, { name });
    log.warn(
      { alert: name, severity: alert.severity, ...alert.labels, ...alert.fields },
      `alert: ${alert.message}`,
    );
    this.#say();
    this.#look();
  }

  clear(name: string, fields: AlertFields = {}): void {
    const { labels } = makeAlert(name, fields, "", new Date(0));
    const all = Object.keys(labels).length === 0;
    const key = alertKey(name, labels);
    const ended = [...this.#own].filter(([own, { alert }]) =>
      all ? alert.name === name : own === key,
    );
    for (const [own] of ended) this.#end(own);
    if (ended.length > 0) this.#changed();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#look();
    this.#closed = true;
    clearInterval(this.#timer);
    this.#stopLeading();
    // What this worker said holds no more with it; whoever leads next hears it from the others.
    await Promise.all(this.#options.channels.map((channel) => channel.close(closeMsMax)));
    await this.#saving;
  }

  /**
   * From now on a new start goes on where this one ended, and says nothing twice. A store that fails costs
   * only that.
   */
  async remember(memory: SentMemory): Promise<void> {
    try {
      this.#takeSent(JSON.parse((await memory.getSetting(sentSetting)) ?? "[]"), {
        wallClock: true,
      });
    } catch (error) {
      this.#options.log.warn({ err: error }, "what was sent of alerts could not be read");
    }
    this.#memory = memory;
  }

  #memory: SentMemory | undefined;
  #saving: Promise<void> = Promise.resolve();
  #stopLeading: () => void = () => {};

  async #lead(signal: AbortSignal): Promise<void> {
    if (this.#closed || signal.aborted) return;
    this.#leads = true;
    this.#options.siblings.tell(wantedTopic, null);
    await new Promise<void>((resolve) => {
      this.#stopLeading = resolve;
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
    this.#leads = false;
  }

  get #now(): number {
    return this.#options.clock.monotonicMs();
  }

  #end(key: string): void {
    const own = this.#own.get(key);
    if (own === undefined) return;
    this.#own.delete(key);
    const { log, meter } = this.#options;
    const { name, labels } = own.alert;
    meter.gauge("alerts_active", -1, { name });
    log.info({ alert: name, ...labels }, "alert over");
  }

  #changed(): void {
    this.#say();
    this.#look();
  }

  #tick(): void {
    const now = this.#now;
    let ended = false;
    for (const [key, { endsAt }] of this.#own) {
      if (endsAt === undefined || endsAt > now) continue;
      this.#end(key);
      ended = true;
    }
    for (const [name, { at }] of this.#others) {
      if (now - at > silentMsMax) this.#others.delete(name);
    }
    if (ended || now - this.#saidAt >= sayMs) this.#say();
    this.#look();
  }

  #say(): void {
    this.#saidAt = this.#now;
    this.#options.siblings.tell(stateTopic, plain(this.active));
  }

  /** The leader's work: sends what is not told yet. */
  #look(): void {
    if (!this.#leads || this.#closed) return;
    const { repeatMs, settleMs } = this.#options;
    const now = this.#now;
    const holding = this.#holding();
    let told = false;
    for (const [key, alert] of holding) {
      const sent = this.#sent.get(key);
      if (sent !== undefined) sent.goneAt = undefined;
      if (sent !== undefined && now - sent.sentAt < repeatMs) continue;
      const entry = { id: sent?.id ?? randomUUID(), alert: sent?.alert ?? alert, sentAt: now };
      this.#sent.set(key, entry);
      this.#send("firing", { ...entry, alert: { ...alert, since: entry.alert.since } });
      told = true;
    }
    for (const [key, sent] of this.#sent) {
      if (holding.has(key)) continue;
      sent.goneAt ??= now;
      if (now - sent.goneAt < settleMs) continue;
      this.#sent.delete(key);
      this.#send("resolved", sent);
      told = true;
    }
    if (told) this.#tellSent();
  }

  /** What holds in any worker; of one condition in several, whoever said it first. */
  #holding(): ReadonlyMap<string, Alert> {
    const all = [...[...this.#others.values()].flatMap(({ alerts }) => alerts), ...this.active];
    const holding = new Map<string, Alert>();
    for (const alert of all) {
      const key = alertKey(alert.name, alert.labels);
      const known = holding.get(key);
      if (known === undefined || alert.since < known.since) holding.set(key, alert);
    }
    return holding;
  }

  #send(
    status: "firing" | "resolved",
    { id, alert }: { readonly id: string; readonly alert: Alert },
  ): void {
    const { channels, about } = this.#options;
    for (const channel of channels) channel.push({ status, alert, id, ...about() });
  }

  /** Ages instead of instants: each process has a clock of its own. */
  #tellSent(): void {
    const now = this.#now;
    const sent = [...this.#sent].map(([key, { id, alert, sentAt }]) => ({
      key,
      id,
      alert,
      ageMs: now - sentAt,
    }));
    this.#options.siblings.tell(sentTopic, plain(sent));
    const memory = this.#memory;
    if (memory === undefined) return;
    const wallNow = this.#options.clock.now().getTime();
    const text = JSON.stringify(
      sent.map(({ ageMs, ...one }) => ({ ...one, sentAt: wallNow - ageMs })),
    );
    const save = async (): Promise<void> => {
      await memory.putSetting(sentSetting, text).catch((error: unknown) => {
        this.#options.log.warn({ err: error }, "what was sent of alerts could not be kept");
      });
    };
    this.#saving = this.#saving.then(save);
  }

  #takeSent(message: Json, { wallClock = false } = {}): void {
    if (!Array.isArray(message)) return;
    // What this process sent itself it knows better than the last one.
    if (this.#leads && !wallClock) return;
    if (!wallClock) this.#sent.clear();
    const wallNow = this.#options.clock.now().getTime();
    for (const entry of message) {
      if (typeof entry !== "object" || entry === null || !("alert" in entry)) continue;
      const { key, id, ageMs, sentAt, alert } = entry as Readonly<Record<string, Json>>;
      const [known] = alertsOf([alert ?? null]);
      if (typeof key !== "string" || typeof id !== "string" || known === undefined) continue;
      if (this.#sent.has(key)) continue;
      // A clock that was set back must not put off what comes next.
      const age = Math.max(0, wallClock ? wallNow - Number(sentAt) : Number(ageMs));
      this.#sent.set(key, { id, alert: known, sentAt: this.#now - age });
    }
  }
}

function plain(value: unknown): Json {
  return JSON.parse(JSON.stringify(value));
}
