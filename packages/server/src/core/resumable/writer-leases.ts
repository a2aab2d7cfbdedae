/**
 * One writer at a time for each upload, in this process and in all others.
 *
 * Who comes while another writes: a client that reconnects asks first where it stands (`settle`), which
 * stops the old request at once. A second append stops one whose client has gone silent, and waits for a
 * lively one only briefly: of two at the same time one wins, and the other is told `locked`. Stopping
 * is polite: the old writer stores what it has and gives the lease back.
 *
 * Between the workers of a server the same happens by asking the lease's holder (`lease-holder.ts`). Between
 * processes that know nothing of each other it happens through the store: the holder is asked to yield, a dead
 * one's lease runs out. In any case the fence keeps whoever comes late from committing anything.
 *
 * A lease is given back when nothing of its writer is under way at the storage any more, calls that hang and
 * that nobody waits for included: what they write late must not land beside what the next one writes.
 *
 * An upload that comes whole within one commit needs no lease in the store: its fence is what nobody else
 * has raised when it is committed, or it is refused. Such a writer is known in this process alone, until
 * it asks for its lease after all (`record`).
 */
import { OperationalError } from "../errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type {
  EndedLease,
  UploadRecord,
  UploadStore,
  UploadTaken,
  UploadWriter,
} from "../ports/upload-store.ts";
import type { LeaseHolder, LeaseKeeper, LeaseState, TakeMode } from "./lease-holder.ts";
import type { SteadyClock } from "./steady-clock.ts";

export interface WriterLeasesOptions {
  readonly store: Pick<UploadStore, "getUpload" | "takeUpload" | "renewUploads" | "releaseUpload">;
  readonly steady: SteadyClock;
  readonly clock: Clock;
  readonly log: Log;
  /** This process among the others. */
  readonly holder: LeaseHolder;
  /** A dead holder's lease runs out after it. */
  readonly leaseMs?: number;
  readonly renewMs?: number;
}

const leaseMsDefault = 5_000;
const renewMsDefault = 1_000;
/** A client that has not sent for so long may be replaced by one that wants to. */
const stalledMs = 500;
/** How long a newcomer waits for a lively writer, or for another process. */
const patienceMs = 1_500;
/** How long one waits for a stopped writer to store what it has. */
const settleMsMax = 15_000;
const lookMs = 100;
/** For what a writer began at the storage to end, once he does not wait for it any more. */
const idleMsMax = 1_000;

/** A lease that is held. Dispose gives it back. */
export interface Writing extends UploadWriter, AsyncDisposable {
  readonly taken: UploadTaken;
  /** Aborted: store what there is, and stop. */
  readonly stop: AbortSignal;
  /** Aborted: the lease is lost; nothing can be committed any more. */
  readonly lost: AbortSignal;
  /** Whether its client is silent, for newcomers; set by who reads the body. */
  isStalled: (ms: number) => boolean;
  /** When nothing of the upload is under way at the storage; set by who writes it there. */
  idle: (() => Promise<void> | undefined) | undefined;
  /** Whether the store knows the lease. */
  readonly isRecorded: boolean;
  /** Sees to it that the store knows the lease; `locked` if another has written since. */
  record(): Promise<void>;
  /** The commit that gives the lease back is about to begin: it is not renewed beside it. */
  releasing(): void;
  /** The lease was given back by a commit of its own. */
  released(): void;
}

interface Local {
  readonly stop: AbortController;
  readonly lost: AbortController;
  readonly done: Promise<void>;
  readonly end: () => void;
  fence: number | undefined;
  isStalled: (ms: number) => boolean;
}

export class WriterLeases implements LeaseKeeper {
  readonly #options: WriterLeasesOptions;
  readonly #leaseMs: number;
  readonly #renewMs: number;
  readonly #local = new Map<string, Local>();
  #timer: NodeJS.Timeout | undefined;
  #closing: OperationalError | undefined;

  constructor(options: WriterLeasesOptions) {
    this.#options = options;
    this.#leaseMs = options.leaseMs ?? leaseMsDefault;
    this.#renewMs = options.renewMs ?? renewMsDefault;
    options.holder.keep(this);
  }

  /** Uploads that this process writes at this moment. */
  get count(): number {
    return this.#local.size;
  }

  /** Whether a request writes it in this process. */
  isWriting(id: string): boolean {
    return this.#local.has(id);
  }

  /**
   * `locked` if another keeps it; `upload_not_found`; `unavailable` while the server stops. With `known`, an
   * upload that nobody writes as far as is known, the lease is not recorded in the store unless another
   * writes it here.
   */
  async take(
    id: string,
    {
      mode,
      signal,
      known,
    }: {
      readonly mode: TakeMode;
      readonly signal: AbortSignal;
      readonly known?: UploadRecord | undefined;
    },
  ): Promise<Writing> {
    if (known !== undefined && !this.#local.has(id) && this.#closing === undefined) {
      const local = newLocal();
      this.#local.set(id, local);
      return this.#writing(id, local, { taken: { upload: known, segments: [] }, recorded: false });
    }
    const since = this.#options.clock.monotonicMs();
    const waited = (): number => this.#options.clock.monotonicMs() - since;
    for (;;) {
      signal.throwIfAborted();
      if (this.#closing !== undefined) throw this.#closing;
      const other = this.#local.get(id);
      if (other !== undefined) {
        if (mode !== "append" || other.isStalled(stalledMs)) other.stop.abort(superseded());
        const patience = other.stop.signal.aborted ? settleMsMax : patienceMs;
        if (waited() > patience) throw locked();
        await within(other.done, lookMs);
        continue;
      }
      const local = newLocal();
      this.#local.set(id, local);
      let isStopping: boolean;
      try {
        const taken = await this.#takeStored(id, mode);
        if (typeof taken !== "string") return this.#writing(id, local, { taken, recorded: true });
        isStopping = taken === "stopping";
      } catch (error) {
        this.#forget(id, local);
        throw error;
      }
      this.#forget(id, local);
      if (waited() > (isStopping ? settleMsMax : patienceMs)) throw locked();
      await delay(lookMs * 2);
    }
  }

  /** Stops the writer here, if there is one, and waits until it has ended. */
  async stop(id: string, reason: OperationalError): Promise<void> {
    const local = this.#local.get(id);
    if (local === undefined) return;
    local.stop.abort(reason);
    await within(local.done, settleMsMax);
  }

  async yield(id: string, mode: TakeMode): Promise<LeaseState> {
    const local = this.#local.get(id);
    if (local === undefined) return "ended";
    if (mode !== "append" || local.isStalled(stalledMs)) local.stop.abort(superseded());
    await within(local.done, lookMs);
    if (!this.#local.has(id)) return "ended";
    return local.stop.signal.aborted ? "stopping" : "writing";
  }

  cancelled(id: string): void {
    const reason = new OperationalError("upload_not_found", "the upload was cancelled");
    this.#local.get(id)?.stop.abort(reason);
  }

  /** Every writer stores what it has; no new one begins. */
  async close(): Promise<void> {
    const message = "the server is stopping; what came is stored, go on in a moment";
    this.#closing = new OperationalError("unavailable", message, { retryable: true });
    for (const { stop } of this.#local.values()) stop.abort(this.#closing);
    const all = Promise.all([...this.#local.values()].map(({ done }) => done));
    await within(all, settleMsMax);
    clearTimeout(this.#timer);
  }

  /** Or what whoever has it is doing. */
  async #takeStored(id: string, mode: TakeMode): Promise<UploadTaken | LeaseState> {
    const { store, steady, holder } = this.#options;
    const take = (ended: EndedLease | null | undefined) => {
      const now = steady.now();
      const until = new Date(now.getTime() + this.#leaseMs);
      const lease = { holder: holder.name, now, until };
      return store.takeUpload(id, ended === undefined ? lease : { ...lease, ended });
    };
    if (!holder.isByWord) return (await take(undefined)) ?? "writing";
    const free = await take(null);
    if (free !== undefined) return free;
    const upload = await store.getUpload(id);
    if (upload === undefined || upload.holder === null) return "writing";
    const state = await holder.ask(upload, mode, this);
    if (state !== "ended") return state;
    return (await take({ holder: upload.holder, fence: upload.fence })) ?? "writing";
  }

  #writing(
    id: string,
    local: Local,
    { taken, recorded }: { readonly taken: UploadTaken; readonly recorded: boolean },
  ): Writing {
    const { store, log } = this.#options;
    const lease = { fence: taken.upload.fence, isRecorded: recorded, isReleased: false };
    const keep = (): void => {
      local.fence = lease.fence;
      this.#schedule();
    };
    if (recorded) keep();
    const giveBack = async (): Promise<void> => {
      const { fence, isRecorded, isReleased } = lease;
      const isOurs = isRecorded && !isReleased && !local.lost.signal.aborted;
      try {
        if (isOurs) await store.releaseUpload({ id, fence });
      } catch (error) {
        log.warn({ err: error, uploadId: id }, "a lease was not given back; it will run out");
      } finally {
        this.#forget(id, local);
      }
    };
    return {
      id,
      taken,
      stop: local.stop.signal,
      lost: local.lost.signal,
      get fence() {
        return lease.fence;
      },
      get isRecorded() {
        return lease.isRecorded;
      },
      get isStalled() {
        return local.isStalled;
      },
      set isStalled(isStalled) {
        local.isStalled = isStalled;
      },
      idle: undefined,
      record: async () => {
        if (lease.isRecorded) return;
        const now = await this.#takeStored(id, "append");
        if (typeof now === "string" || now.upload.phase === "complete") throw locked();
        const isUntouched = now.upload.fence === lease.fence + 1;
        lease.fence = now.upload.fence;
        lease.isRecorded = true;
        keep();
        if (!isUntouched) throw locked();
      },
      releasing: () => {
        local.fence = undefined;
      },
      released: () => {
        lease.isReleased = true;
        local.fence = undefined;
      },
      // What it has become by then: not of a copy.
      async [Symbol.asyncDispose]() {
        // Renewed no more: nobody must be told that a lease was lost which is being given back.
        local.fence = undefined;
        const idle = this.idle?.();
        const isIdle = idle === undefined || (await within(idle, idleMsMax));
        if (isIdle) return await giveBack();
        log.warn(
          { uploadId: id },
          "a call on the storage hangs: the upload stays locked until it ends",
        );
        void idle.then(giveBack, giveBack);
      },
    };
  }

  #forget(id: string, local: Local): void {
    if (this.#local.get(id) === local) this.#local.delete(id);
    local.end();
  }

  #schedule(): void {
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(async () => {
      try {
        await this.#renew();
      } catch (error) {
        // The fence still stands between us and whoever may have taken it meanwhile.
        this.#options.log.warn({ err: error }, "leases of uploads were not renewed");
      }
      this.#timer = undefined;
      if (this.#local.size > 0) this.#schedule();
    }, this.#renewMs);
    this.#timer.unref();
  }

  async #renew(): Promise<void> {
    const { store, steady, holder, log } = this.#options;
    const held = [...this.#local].flatMap(([id, local]) =>
      local.fence === undefined ? [] : [{ id, local, fence: local.fence }],
    );
    if (held.length === 0) return;
    const until = steady.in(this.#leaseMs);
    const answer = await store.renewUploads(held, { holder: holder.name, until });
    const [kept, asked] = [new Set(answer.kept), new Set(answer.yield)];
    for (const { id, local, fence } of held) {
      if (local.fence !== fence) continue;
      if (!kept.has(id)) {
        log.info({ uploadId: id }, "another process has taken an upload over");
        local.stop.abort(superseded());
        local.lost.abort(superseded());
      } else if (asked.has(id)) {
        local.stop.abort(superseded());
      }
    }
  }
}

function newLocal(): Local {
  const { promise, resolve } = Promise.withResolvers<void>();
  return {
    stop: new AbortController(),
    lost: new AbortController(),
    done: promise,
    end: resolve,
    fence: undefined,
    isStalled: () => false,
  };
}

function superseded(): OperationalError {
  return new OperationalError("locked", "another request has taken this upload over");
}

function locked(): OperationalError {
  return new OperationalError("locked", "another request is writing this upload");
}

/** Until it is done, or for so long. */
async function within(done: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  try {
    return await Promise.race([done.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
