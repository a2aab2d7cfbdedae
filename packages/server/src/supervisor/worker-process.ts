/** One worker, as the supervisor sees it: a process that was started, speaks, and ends once. */
import { type ChildProcess, fork } from "node:child_process";
import { readFileSync } from "node:fs";
import type { Socket } from "node:net";
import type { Taker } from "./listeners.ts";
import { type FromWorker, isRecord, type Sample, type ToWorker } from "./messages.ts";

/** What runs as a worker: a module that joins the supervisor (`joinSupervisor`). */
export interface WorkerProgram {
  readonly file: string;
  readonly args: readonly string[];
  /** Of Node, before the file. */
  readonly nodeFlags: readonly string[];
}

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** It was killed and is still there, as in a call that hangs: nobody waits for it. */
  readonly abandoned: boolean;
  /** All that it ever said has arrived. */
  readonly heard: boolean;
}

export type WorkerState = "starting" | "ready" | "leaving" | "ended";

/** From the exit until what was said before has arrived. */
const lastWordsMsMax = 500;
/** From the kill to giving up on a process that does not go. */
const dieMsMax = 3_000;

export class WorkerProcess implements Taker {
  readonly slot: number;
  readonly pid: number;
  readonly startedAtMs = performance.now();
  readonly ended: Promise<Ended>;
  /** The process is no more, not even as one that was abandoned: nothing that it began is under way. */
  readonly gone: Promise<void>;
  /** As it calls itself among its siblings; empty before it has said so. */
  name = "";
  state: WorkerState = "starting";
  readyAtMs: number | undefined;
  heardAtMs = performance.now();
  sample: Sample | undefined;
  residentBytes: number | undefined;
  /** Of that, what no file backs: what a quota is short of. */
  ownBytes: number | undefined;
  /** Why the supervisor ended it, if it did. */
  killedFor: string | undefined;
  /** It was told to leave. */
  leaves = false;
  readonly #child: ChildProcess;
  readonly #ready = Promise.withResolvers<true>();
  readonly #end: (ended: Ended) => void;

  /** Throws when no process can be started. */
  constructor(
    program: WorkerProgram,
    slot: number,
    receive: (worker: WorkerProcess, message: FromWorker) => void,
  ) {
    this.slot = slot;
    const { promise, resolve } = Promise.withResolvers<Ended>();
    this.ended = promise;
    this.#end = resolve;
    this.#child = fork(program.file, program.args, {
      execArgv: [...program.nodeFlags],
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    // Without a process there is no exit either.
    this.#child.once("error", () => {
      if (this.#child.pid !== undefined) return;
      this.#settle({ code: 1, signal: null, abandoned: false, heard: true });
    });
    this.#child.on("error", () => {});
    const { promise: gone, resolve: go } = Promise.withResolvers<void>();
    this.gone = gone;
    this.#child.once("exit", () => go());
    this.#child.once("exit", (code, signal) => {
      const settle = (heard: boolean) => this.#settle({ code, signal, abandoned: false, heard });
      if (!this.#child.connected) return settle(true);
      this.#child.once("disconnect", () => settle(true));
      // Its children may have the other end as well.
      setTimeout(() => settle(false), lastWordsMsMax);
    });
    this.#child.on("message", (message) => {
      this.heardAtMs = performance.now();
      if (isRecord(message)) receive(this, message as unknown as FromWorker);
    });
    this.pid = this.#child.pid ?? -1;
  }

  /** Settles when it is, and never if it never is. */
  get ready(): Promise<true> {
    return this.#ready.promise;
  }

  becomeReady(): void {
    if (this.state === "starting") this.state = "ready";
    this.readyAtMs = performance.now();
    this.#ready.resolve(true);
  }

  get workedMs(): number {
    return this.readyAtMs === undefined ? 0 : performance.now() - this.readyAtMs;
  }

  send(message: ToWorker): void {
    // Whatever goes wrong here, the end of the process tells.
    if (this.#child.connected) this.#child.send(message, () => {});
  }

  give(connection: { readonly id: number; readonly listener: string }, socket: Socket): boolean {
    if (this.state === "ended" || !this.#child.connected) return false;
    const message = { kind: "connection", ...connection };
    this.#child.send(message, socket, { keepOpen: true }, () => {});
    return true;
  }

  /** SIGKILL; `ended` settles soon after, whether or not the process can go. */
  kill(why: string): void {
    if (this.state === "ended") return;
    this.killedFor ??= why;
    this.#child.kill("SIGKILL");
    const giveUp = () =>
      this.#settle({ code: null, signal: "SIGKILL", abandoned: true, heard: false });
    setTimeout(giveUp, dieMsMax).unref();
  }

  /** Memory as the kernel counts it now; what it was before, when there is no such process. */
  measure(): void {
    try {
      const status = readFileSync(`/proc/${this.pid}/status`, "latin1");
      const bytesOf = (line: RegExp) => {
        const kibibytes = line.exec(status)?.[1];
        return kibibytes === undefined ? undefined : Number(kibibytes) * 1024;
      };
      this.residentBytes = bytesOf(/^VmRSS:\s+(\d+) kB$/m) ?? this.residentBytes;
      this.ownBytes = bytesOf(/^RssAnon:\s+(\d+) kB$/m) ?? this.residentBytes;
    } catch {
      // Gone, or another system.
    }
  }

  #settle(ended: Ended): void {
    if (this.state === "ended") return;
    this.state = "ended";
    if (ended.abandoned) {
      if (this.#child.connected) this.#child.disconnect();
      this.#child.unref();
    }
    this.#end(ended);
  }
}
