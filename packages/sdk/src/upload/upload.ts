/** An upload: begun when it is made, held up and ended by its owner, done once. */
import type { Caller } from "../caller.ts";
import { RomaError, type RomaErrorOptions } from "../errors.ts";
import { lazily } from "../lazily.ts";
import { type Connectivity, Control, type UploadState } from "./control.ts";
import { signsNothing, uploadDirect } from "./direct.ts";
import type { Job, Stored, UploadOptions, UploadResult } from "./job.ts";
import { rangedParts } from "./part-supply.ts";
import { ProgressMeter, type UploadProgress } from "./progress.ts";
import type { ResumeStore } from "./resume-store.ts";
import type { RangedSource, Source } from "./source.ts";
import type { Turns } from "./turns.ts";
import { uploadWhole, wholeBytesMax } from "./whole.ts";

/** What uploads need of their surroundings. */
export interface UploadSurroundings {
  readonly caller: Caller;
  readonly store: ResumeStore | undefined;
  readonly connectivity: Connectivity | undefined;
  readonly turns: Turns;
}

/** An upload under way. It runs from the start; nothing needs to be called for it to go on. */
export class Upload {
  readonly #control: Control;
  readonly #meter: ProgressMeter;
  readonly #turns: Turns;
  readonly #done: Promise<UploadResult>;
  #cancelled = false;
  /** `paused` gave its turn away. */
  #turn: "waiting" | "running" | "paused" | "over" = "waiting";

  constructor(
    surroundings: UploadSurroundings,
    open: () => Source | Promise<Source>,
    options: UploadOptions,
  ) {
    this.#control = new Control(surroundings.connectivity, options.onState);
    this.#meter = new ProgressMeter(options);
    this.#turns = surroundings.turns;
    this.#done = this.#run(surroundings, open, options);
    // Whoever is interested asks `done`.
    this.#done.catch(() => {});
  }

  get state(): UploadState {
    return this.#control.state;
  }

  get progress(): UploadProgress {
    return this.#meter.progress;
  }

  /** Interrupts what is sent; parts that have arrived stay. */
  pause(): void {
    this.#control.pause();
    this.#meter.rest();
    if (this.#turn !== "running") return;
    this.#turn = "paused";
    this.#turns.give();
  }

  /** Goes on after a pause. */
  resume(): void {
    if (this.#turn === "paused") {
      this.#turn = "running";
      this.#turns.force();
    }
    this.#meter.rest();
    this.#control.resume();
  }

  /** Ends it and frees what the server holds of it. Resolves when that has been asked for. */
  async cancel(): Promise<void> {
    this.#end("the upload was cancelled");
    await this.#done.catch(() => {});
  }

  /**
   * Ends it in this page or process, and keeps what has arrived: with `resume`, the same upload goes on
   * there later. Resolves when nothing is under way any more; `done` rejects with `aborted`.
   */
  async suspend(): Promise<void> {
    this.#end("the upload was suspended", { retryable: true });
    await this.#done.catch(() => {});
  }

  /**
   * Resolves when the server holds the object durably and has confirmed its size and CRC-64/NVME.
   * Rejects with a `RomaError`; `aborted` after `cancel`, `suspend` or by the signal.
   */
  done(): Promise<UploadResult> {
    return this.#done;
  }

  #end(message: string, options?: RomaErrorOptions): void {
    this.#cancelled = true;
    this.#control.end(new RomaError("aborted", message, options));
  }

  async #run(
    { caller, store }: Pick<UploadSurroundings, "caller" | "store">,
    open: () => Source | Promise<Source>,
    options: UploadOptions,
  ): Promise<UploadResult> {
    const { signal } = options;
    const onAbort = () => {
      this.#end("the upload was ended by its signal", { cause: signal?.reason });
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    if (signal?.aborted === true) onAbort();
    const control = this.#control;
    const turn = this.#turns.take();
    try {
      await control.guard(turn);
      this.#turn = "running";
      control.enter("starting");
      const source = await open();
      this.#meter.totalBytes = source.length;
      this.#meter.rest();
      const job: Job = {
        ...{ caller, store, control, options, source, meter: this.#meter },
        notify: (notice) => options.onNotice?.(notice),
      };
      const { object, created } =
        source.kind === "ranged"
          ? await sendRanged(job, source)
          : await (await loadStreams()).sendStream(job, source, sendRanged);
      this.#meter.totalBytes = object.size;
      this.#meter.show();
      control.close("done");
      return { ...object, url: caller.absolute(object.url), created };
    } catch (error) {
      control.close(this.#cancelled ? "cancelled" : "failed");
      throw error;
    } finally {
      signal?.removeEventListener("abort", onAbort);
      const paused = this.#turn === "paused";
      this.#turn = "over";
      // One that was ended while it waited gets its turn in vain.
      if (!paused) void turn.then(() => this.#turns.give());
    }
  }
}

async function sendRanged(job: Job, source: RangedSource): Promise<Stored> {
  const { key, via = "auto", instant = false, checksums } = job.options;
  const small = source.length <= wholeBytesMax && via !== "storage" && !instant;
  if (key !== undefined && small) return await uploadWhole(job, key, source);
  const offer = instant ? await (await loadInstant()).offer(job, source, checksums) : undefined;
  job.control.enter("starting");
  try {
    return await uploadDirect(job, rangedParts(source), offer);
  } catch (error) {
    if (key === undefined || via === "storage" || !signsNothing(error)) throw error;
    const { rangedAppends, uploadAppending } = await loadAppend();
    return await uploadAppending(job, key, rangedAppends(source));
  }
}

// What few uploads need is fetched when it is needed.
const loadStreams = lazily(() => import("./streams.ts"));
const loadAppend = lazily(() => import("./append.ts"));
const loadInstant = lazily(() => import("./instant.ts"));
