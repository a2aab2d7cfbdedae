/**
 * Keeps workers running. It owns the listening sockets and hands connections over, starts a successor
 * for each worker that dies or wants to be replaced, and ends all in order; it reads no request and
 * writes nothing but log lines. It never waits for a process that cannot end.
 *
 * A slot holds one worker. Starting: until it says that it is ready. A dead one is followed by another
 * after a back-off of its slot's own. Replacing: the successor is started first; when it is ready the old one is told to
 * leave, and killed when it has not left in time. One slot at a time is being replaced.
 */

import { randomUUID } from "node:crypto";
import type { Log } from "../core/ports/log.ts";
import type { Json } from "../core/ports/siblings.ts";
import { BackOff, healthyMs } from "./back-off.ts";
import { type DeathCause, describeDeath } from "./death.ts";
import { Listeners } from "./listeners.ts";
import type { MemoryGroup } from "./memory-group.ts";
import type { FromWorker, ListenError } from "./messages.ts";
import type { SupervisorMetrics } from "./metrics.ts";
import type { Plan } from "./plan.ts";
import { Relay } from "./relay.ts";
import { type Ended, WorkerProcess, type WorkerProgram } from "./worker-process.ts";

export interface SupervisorOptions {
  readonly program: WorkerProgram;
  readonly plan: Plan;
  readonly group: MemoryGroup;
  readonly log: Log;
  /** A worker that is silent for longer is killed. */
  readonly heartbeatMs: number;
  /** How long a worker may take to leave, all its own bounds included. */
  readonly leaveMsMax: number;
  readonly random?: () => number;
  /** A worker is not replaced for its weight sooner than this after it was ready. */
  readonly heavyAfterMs?: number;
}

/** How the supervisor ended: as the process should. */
export interface Outcome {
  readonly code: number;
  /** A worker had to be ended with a signal. */
  readonly forced: boolean;
}

const tickMs = 1_000;
/** As long as a worker may announce to be silent, as when it writes down what is in its heap. */
const silentMsMax = 10 * 60_000;
/** Until a successor is ready; a long start looks at many files. */
const startMsMax = 10 * 60_000;
/** Samples in a row over the share, before a worker is replaced for it. */
const heavySamplesMax = 5;

interface Slot {
  readonly number: number;
  readonly backOff: BackOff;
  current: WorkerProcess | undefined;
  /** Starts, to take over from the current one. */
  successor: WorkerProcess | undefined;
  heavySamples: number;
  restart: NodeJS.Timeout | undefined;
}

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #serverName = randomUUID();
  readonly #listeners = new Listeners();
  readonly #relay: Relay;
  readonly #slots: readonly Slot[];
  readonly #workers = new Set<WorkerProcess>();
  readonly #deaths = new Map<DeathCause, number>();
  readonly #outcome = Promise.withResolvers<Outcome>();
  #restarts = 0;
  #recycled = 0;
  #greeted = false;
  #anyReady = false;
  #stopping = false;
  #forced = false;
  #lastReplacement: Promise<unknown> = Promise.resolve();
  readonly #replacements = new Map<Slot, Promise<boolean>>();
  #rolling: Promise<void> | undefined;
  #rollAgain = false;
  #ticker: NodeJS.Timeout | undefined;
  #tickedAtMs = performance.now();
  /** Kills of the memory group that were accounted for: by a death, or by nobody's for a tick. */
  #killsBefore: number | undefined;
  #killsSeen: number | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#relay = new Relay((topic) =>
      topic === "supervisor-metrics" ? (this.metrics() as unknown as Json) : null,
    );
    const slotOf = (number: number): Slot => ({
      number,
      backOff: new BackOff(options.random),
      current: undefined,
      successor: undefined,
      heavySamples: 0,
      restart: undefined,
    });
    this.#slots = Array.from({ length: options.plan.count }, (_, index) => slotOf(index + 1));
  }

  /** Settles once: when all workers have left, or when the first could not start. */
  get outcome(): Promise<Outcome> {
    return this.#outcome.promise;
  }

  get workers(): readonly WorkerProcess[] {
    return [...this.#workers];
  }

  /** Starts the first worker, and when that is ready the others: they find everything made. */
  start(): void {
    this.#killsBefore = this.#killsSeen = this.#options.group.kills();
    this.#ticker = setInterval(() => this.#tick(), tickMs);
    const [first] = this.#slots;
    if (first !== undefined) this.#startIn(first);
  }

  /** In order: nothing new is accepted, workers leave, and who does not leave in time is killed. */
  stop(): void {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#listeners.stop();
    for (const { restart } of this.#slots) clearTimeout(restart);
    for (const worker of this.#workers) this.#retire(worker, "stopping");
    this.#settleWhenEmpty();
  }

  /** At once. */
  kill(): void {
    for (const worker of this.#workers) worker.kill("asked to end at once");
  }

  /** One worker after the other is replaced; asked again meanwhile, all are replaced once more. */
  roll(): Promise<void> {
    if (this.#rolling !== undefined) {
      this.#rollAgain = true;
      return this.#rolling;
    }
    this.#rolling = this.#rollAll().finally(() => {
      this.#rolling = undefined;
      if (!this.#rollAgain || this.#stopping) return;
      this.#rollAgain = false;
      void this.roll();
    });
    return this.#rolling;
  }

  /** Tells the worker with the largest heap to write what is in it. */
  dump(dump: string): void {
    const heapOf = ({ sample }: WorkerProcess) => sample?.heapUsedBytes ?? 0;
    const [largest] = [...this.#workers]
      .filter(({ state }) => state === "ready")
      .sort((one, other) => heapOf(other) - heapOf(one));
    if (largest === undefined) this.#options.log.warn({}, `no worker is ready: no ${dump}`);
    else largest.send({ kind: "dump", dump });
  }

  metrics(): SupervisorMetrics {
    return {
      workers: [...this.#workers].map((worker) => ({
        worker: worker.slot,
        name: worker.name,
        pid: worker.pid,
        state: worker.state,
        upSeconds: (performance.now() - worker.startedAtMs) / 1000,
        residentBytes: worker.residentBytes ?? 0,
        ownBytes: worker.ownBytes ?? 0,
      })),
      workersWanted: this.#options.plan.count,
      deaths: Object.fromEntries(this.#deaths),
      restarts: this.#restarts,
      recycled: this.#recycled,
      supervisorResidentBytes: process.memoryUsage.rss(),
      quotaBytes: this.#options.group.quotaBytes ?? null,
      oomKills: this.#options.group.kills() ?? null,
    };
  }

  async #rollAll(): Promise<void> {
    this.#options.log.info({ workers: this.#slots.length }, "replacing all workers, one by one");
    for (const slot of this.#slots) {
      if (this.#stopping) return;
      const old = slot.current;
      // It may have read what was there before, so it is not left out.
      if (old?.state === "starting") await Promise.race([old.ready, old.ended]);
      // A slot without a worker gets one by itself, with what there is by then.
      if (old?.state !== "ready") continue;
      if (!(await this.#replace(slot, "asked to replace all workers"))) {
        if (this.#stopping) return;
        const message = "the new worker did not start: the others go on as they are";
        this.#options.log.error({ worker: slot.number }, message);
        return;
      }
      await old.ended;
    }
    if (!this.#stopping) this.#options.log.info({}, "all workers are replaced");
  }

  #startIn(slot: Slot): WorkerProcess {
    const { program, plan, log } = this.#options;
    const worker = new WorkerProcess(program, slot.number, (from, message) =>
      this.#receive(from, message),
    );
    this.#workers.add(worker);
    if (slot.current === undefined) slot.current = worker;
    else slot.successor = worker;
    worker.send({
      kind: "init",
      serverName: this.#serverName,
      slot: slot.number,
      count: plan.count,
      greets: !this.#greeted,
    });
    log.debug({ worker: slot.number, workerPid: worker.pid }, "a worker starts");
    void worker.ended.then((ended) => this.#onEnd(slot, worker, ended));
    return worker;
  }

  #receive(worker: WorkerProcess, message: FromWorker): void {
    switch (message.kind) {
      case "hello":
        worker.name = message.name;
        this.#relay.join(message.name, (answer) => worker.send(answer));
        return;
      case "beat":
        worker.sample = message.sample;
        return;
      case "ready":
        this.#onReady(worker);
        return;
      case "listen":
        void this.#listen(worker, message);
        return;
      case "taken":
        this.#listeners.taken(worker, message);
        return;
      case "silent":
        worker.heardAtMs = performance.now() + Math.min(message.ms, silentMsMax);
        return;
      case "recycle":
        this.#recycle(worker, message.reason);
        return;
      default:
        this.#relay.receive(worker.name, message);
    }
  }

  async #listen(
    worker: WorkerProcess,
    { id, listener, host, port }: FromWorker & { readonly kind: "listen" },
  ): Promise<void> {
    try {
      const given = await this.#listeners.open(listener, { host, port }, worker);
      worker.send({ kind: "listening", id, port: given });
    } catch (error) {
      worker.send({ kind: "unheard", id, error: listenError(error) });
    }
  }

  #onReady(worker: WorkerProcess): void {
    worker.becomeReady();
    worker.measure();
    this.#greeted = true;
    const fields = { worker: worker.slot, workerPid: worker.pid };
    this.#options.log.debug(fields, "a worker is ready");
    if (this.#stopping) this.#retire(worker, "stopping");
    if (this.#anyReady) return;
    this.#anyReady = true;
    for (const slot of this.#slots) {
      if (slot.current === undefined && !this.#stopping) this.#startIn(slot);
    }
  }

  #onEnd(slot: Slot, worker: WorkerProcess, ended: Ended): void {
    this.#workers.delete(worker);
    this.#listeners.drop(worker, { all: ended.heard });
    if (ended.abandoned) this.#relay.abandon(worker.name, worker.gone);
    else this.#relay.leave(worker.name);
    const isCurrent = slot.current === worker;
    if (isCurrent) slot.current = slot.successor;
    if (isCurrent || slot.successor === worker) slot.successor = undefined;
    const orderly = worker.leaves && ended.code === 0;
    const cutShort = this.#stopping && worker.readyAtMs === undefined;
    if (!orderly && !cutShort) this.#noteDeath(worker, ended);
    if (this.#stopping) {
      this.#forced ||= !orderly && !cutShort;
      this.#settleWhenEmpty();
    } else if (!this.#anyReady) {
      this.#settle({ code: ended.code || 1, forced: false });
    } else if (isCurrent && slot.current === undefined) {
      this.#follow(slot, worker);
    }
  }

  #follow(slot: Slot, { workedMs }: WorkerProcess): void {
    const waitMs = slot.backOff.afterDeath(workedMs);
    this.#restarts += 1;
    const fields = { worker: slot.number, waitMs: Math.round(waitMs) };
    this.#options.log.info(fields, "a successor will be started");
    slot.restart = setTimeout(() => {
      if (!this.#stopping && slot.current === undefined) this.#startIn(slot);
    }, waitMs);
  }

  #noteDeath(worker: WorkerProcess, ended: Ended): void {
    const { group, plan, log } = this.#options;
    const killsAfter = group.kills();
    const { cause, fields, message } = describeDeath(worker, ended, {
      killsBefore: this.#killsBefore,
      killsAfter,
      quotaBytes: group.quotaBytes,
      workers: plan.count,
    });
    if (cause === "memory_group") this.#killsBefore = (this.#killsBefore ?? 0) + 1;
    // A start that never succeeded has said itself what was wrong.
    if (!this.#anyReady && cause === "exit") return;
    this.#deaths.set(cause, (this.#deaths.get(cause) ?? 0) + 1);
    log.error(fields, message);
  }

  #recycle(worker: WorkerProcess, reason: string): void {
    const slot = this.#slots.find(({ current }) => current === worker);
    if (slot === undefined || this.#stopping || worker.state !== "ready") return;
    if (this.#replacements.has(slot)) return;
    this.#recycled += 1;
    void this.#replace(slot, reason);
  }

  /** True when the successor serves. One slot after the other. */
  #replace(slot: Slot, reason: string): Promise<boolean> {
    const running = this.#replacements.get(slot);
    if (running !== undefined) return running;
    const replaced = this.#lastReplacement
      .then(() => (this.#stopping ? false : this.#replaceNow(slot, reason)))
      .finally(() => this.#replacements.delete(slot));
    this.#replacements.set(slot, replaced);
    this.#lastReplacement = replaced;
    return replaced;
  }

  async #replaceNow(slot: Slot, reason: string): Promise<boolean> {
    const old = slot.current;
    if (old?.state !== "ready") return true;
    const { log } = this.#options;
    const successor = this.#startIn(slot);
    const fields = {
      ...{ worker: slot.number, workerPid: old.pid, successorPid: successor.pid, reason },
      ...{ residentBytes: old.residentBytes ?? null },
    };
    log.info(fields, "a worker is being replaced");
    const late = setTimeout(() => successor.kill("it was not ready in time"), startMsMax);
    const ready = await Promise.race([successor.ready, successor.ended.then(() => false)]);
    clearTimeout(late);
    if (!ready) {
      if (!this.#stopping) log.error(fields, "the successor did not start: the worker goes on");
      return false;
    }
    slot.current = successor;
    slot.successor = undefined;
    slot.heavySamples = 0;
    if (this.#workers.has(old)) this.#retire(old, "replaced");
    return true;
  }

  #retire(worker: WorkerProcess, reason: "replaced" | "stopping"): void {
    if (worker.state === "starting") {
      // It serves nothing yet.
      worker.kill("the server stops");
      return;
    }
    worker.leaves = true;
    worker.state = "leaving";
    // Connections that it does not answer for any more go to the others.
    this.#listeners.leave(worker);
    worker.send({ kind: "retire", reason });
    const { leaveMsMax } = this.#options;
    const tooLate = () => worker.kill(`it had not left after ${leaveMsMax} ms`);
    const timer = setTimeout(tooLate, leaveMsMax);
    void worker.ended.then(() => clearTimeout(timer));
  }

  #tick(): void {
    const now = performance.now();
    // This process stood still itself, as a machine that was suspended does: nobody was heard.
    const late = now - this.#tickedAtMs > 3 * tickMs;
    this.#tickedAtMs = now;
    this.#listeners.tidy();
    if (this.#killsSeen !== undefined && this.#killsSeen > (this.#killsBefore ?? 0)) {
      this.#killsBefore = this.#killsSeen;
    }
    this.#killsSeen = this.#options.group.kills();
    for (const worker of this.#workers) {
      worker.measure();
      if (late) worker.heardAtMs = now;
      this.#checkHeart(worker, now);
    }
    for (const slot of this.#slots) this.#checkWeight(slot);
  }

  #checkHeart(worker: WorkerProcess, now: number): void {
    const { heartbeatMs } = this.#options;
    if (now - worker.heardAtMs < heartbeatMs || worker.killedFor !== undefined) return;
    worker.kill(`its event loop was silent for ${Math.round(now - worker.heardAtMs)} ms`);
  }

  #checkWeight(slot: Slot): void {
    const { heavyAfterMs = healthyMs, plan } = this.#options;
    const { recycleBytes } = plan;
    const worker = slot.current;
    if (recycleBytes === undefined || worker?.state !== "ready") return;
    const heavy = (worker.ownBytes ?? 0) > recycleBytes;
    slot.heavySamples = heavy ? slot.heavySamples + 1 : 0;
    // A successor that is as heavy at once helps nobody.
    if (slot.heavySamples < heavySamplesMax || worker.workedMs < heavyAfterMs) return;
    const mebibytes = Math.round((worker.ownBytes ?? 0) / 2 ** 20);
    this.#recycle(worker, `it holds ${mebibytes} MiB, more than 80 % of its share of the quota`);
  }

  #settleWhenEmpty(): void {
    if (this.#workers.size === 0) this.#settle({ code: 0, forced: this.#forced });
  }

  #settle(outcome: Outcome): void {
    this.#stopping = true;
    clearInterval(this.#ticker);
    this.#listeners.close();
    for (const { restart } of this.#slots) clearTimeout(restart);
    this.#outcome.resolve(outcome);
  }
}

function listenError(error: unknown): ListenError {
  const from = (name: string): string =>
    String((typeof error === "object" && error !== null && Reflect.get(error, name)) ?? "");
  return { message: from("message"), code: from("code"), syscall: from("syscall") };
}
