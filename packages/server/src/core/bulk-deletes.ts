/**
 * Destroying very many objects, in steps: a plan counts what would go, whoever confirms it types the bucket and its
 * environment, and then it runs, page by page, into the trash; it can be stopped and undone. Each page is one
 * transaction with the job's own row, so a restart goes on where the last page ended. Of several workers the one that
 * leads does it, whoever was asked.
 */
import { createHash, randomBytes } from "node:crypto";
import { type Actor, authorize } from "./access.ts";
import { authorOf } from "./author.ts";
import type { Buckets } from "./buckets.ts";
import type { DataEnvironment } from "./environment.ts";
import { OperationalError } from "./errors.ts";
import type { KeyPrefix } from "./object-key.ts";
import { serverAuthor } from "./ports/author.ts";
import type { Clock } from "./ports/clock.ts";
import type { Log } from "./ports/log.ts";
import type { BulkDeleteRecord, MetadataStore } from "./ports/metadata-store.ts";
import type { Siblings } from "./ports/siblings.ts";

/** For who reads a plan to confirm it. */
const planMsMax = 15 * 60 * 1000;
const samplesMax = 7;
const listedMax = 100;
const readLimit = 1000;
/** Of one transaction, which others wait for. */
const pageLimit = 500;
/** Told to the others: the id of one that begins. */
const topic = "bulk-deletes.begin";

export interface BulkDeletesOptions {
  readonly metadata: MetadataStore;
  readonly buckets: Buckets;
  readonly environment: DataEnvironment;
  readonly clock: Clock;
  readonly log: Log;
  readonly blobGraceMs: number;
  /** Objects that leave in a second, of each job. */
  readonly perSecond: number;
  /** Of all jobs of this server, in any hour. */
  readonly perHour: number;
  /** For buckets that have no trash: what a bulk delete deletes goes into one in any case. */
  readonly trashMsDefault: number;
  /** Between looks whether the hour's objects are used up still; by default 1 min. */
  readonly cappedMs?: number;
  readonly siblings: Siblings;
  /** Between looks for those whose beginning nobody was told; by default 5 s. */
  readonly lookMs?: number;
}

export interface Confirmation {
  readonly bucket: string;
  /** Of the bucket, else of the server; null where there is none. */
  readonly environment: string | null;
  readonly digest: string;
}

interface Counted {
  readonly objects: number;
  readonly bytes: number;
  readonly digest: string;
  readonly samples: readonly string[];
}

export class BulkDeletes {
  readonly #options: BulkDeletesOptions;
  readonly #running = new Map<string, Promise<void>>();
  #leading: AbortSignal | undefined;

  constructor(options: BulkDeletesOptions) {
    this.#options = options;
    options.siblings.on(topic, (id) => {
      if (typeof id === "string") this.#run(id);
      return null;
    });
  }

  /**
   * From now on they run here, those first that were under way when the server stopped or died. When it is disposed,
   * pages under way end; what is left goes on where somebody leads.
   */
  lead(): AsyncDisposable {
    const leading = new AbortController();
    this.#leading = leading.signal;
    const look = async (): Promise<void> => {
      try {
        await this.#resume();
      } catch (error) {
        this.#options.log.error({ err: error }, "bulk deletes were not looked for");
      }
    };
    let looking = look();
    const timer = setInterval(() => {
      looking = look();
    }, this.#options.lookMs ?? 5_000);
    timer.unref();
    return {
      [Symbol.asyncDispose]: async () => {
        clearInterval(timer);
        leading.abort();
        await looking;
        await Promise.all(this.#running.values());
      },
    };
  }

  /** Counts, and changes nothing. `invalid_request` for a prefix that may be a mistake. */
  async plan(
    actor: Actor,
    { bucket, prefix }: { readonly bucket: string; readonly prefix: KeyPrefix },
  ): Promise<BulkDeleteRecord> {
    const plannedBy = assertMay(actor, bucket);
    assertMeansSomething(prefix);
    await this.#options.buckets.require(bucket);
    const { clock, metadata } = this.#options;
    const now = clock.now();
    const plannedAt = now.toISOString();
    const counted = await this.#count({ bucket, prefix, plannedAt });
    const record: BulkDeleteRecord = {
      id: newId(now),
      ...{ state: "planned", revision: 1, bucket, prefix, plannedAt },
      expiresAt: new Date(now.getTime() + planMsMax).toISOString(),
      ...counted,
      ...{ plannedBy, confirmedBy: [], after: null, deleted: 0, deletedBytes: 0, retained: 0 },
      ...{ undoneThrough: 0, restored: 0, skipped: 0 },
    };
    await metadata.putBulkDelete(record, { author: authorOf(actor) });
    return record;
  }

  /**
   * `plan_changed` if other objects are there than were planned; `expired`; `environment_mismatch`; `invalid_request`
   * for another bucket or digest; `access_denied` for the same key where the bucket asks for two.
   */
  async confirm(actor: Actor, id: string, given: Confirmation): Promise<BulkDeleteRecord> {
    const record = await this.#find(actor, id);
    const keyId = assertMay(actor, record.bucket);
    const bucket = await this.#options.buckets.reread(record.bucket);
    this.#assertTyped(record, given, bucket.environment);
    if (record.state !== "planned" && record.state !== "confirmed")
      throw inState(record, "confirm");
    if (record.confirmedBy.includes(keyId)) {
      throw new OperationalError("access_denied", "this key has confirmed: another one has to");
    }
    if (this.#options.clock.now() > new Date(record.expiresAt)) {
      throw new OperationalError("expired", "the plan has expired: plan it again");
    }
    const found = await this.#count(record);
    if (found.digest !== record.digest) throw planChanged(record, found);
    const confirmedBy = [...record.confirmedBy, keyId];
    const state = confirmedBy.length >= bucket.bulkDeleteApprovals ? "running" : "confirmed";
    const next = await this.#put(actor, { ...record, state, confirmedBy });
    this.#options.log.warn(
      { bulkDelete: id, bucket: record.bucket, objects: record.objects, keyId, state },
      "a bulk delete was confirmed",
    );
    if (state === "running") this.#begin(id);
    return next;
  }

  async get(actor: Actor, id: string): Promise<BulkDeleteRecord> {
    return await this.#find(actor, id);
  }

  /** The latest first, of the buckets that the actor may bulk delete in. */
  async list(actor: Actor): Promise<readonly BulkDeleteRecord[]> {
    const records = await this.#options.metadata.listBulkDeletes({ limit: listedMax });
    return records.filter(({ bucket }) => mayBulkDelete(actor, bucket));
  }

  /** After the page that is being deleted. One that is over, or being undone, stays as it is. */
  stop(actor: Actor, id: string): Promise<BulkDeleteRecord> {
    return this.#change(actor, id, (record) =>
      ["planned", "confirmed", "running"].includes(record.state)
        ? { ...record, state: "stopped" }
        : record,
    );
  }

  /** Brings back what it deleted, as far as no other object has taken the key. */
  async undo(actor: Actor, id: string): Promise<BulkDeleteRecord> {
    const record = await this.#change(actor, id, (found) => {
      if (found.state === "undone" || found.state === "undoing") return found;
      if (!["running", "stopped", "done"].includes(found.state)) throw inState(found, "undo");
      return { ...found, state: "undoing", undoneThrough: 0 };
    });
    if (record.state === "undoing") this.#begin(id);
    return record;
  }

  async #resume(): Promise<void> {
    const records = await this.#options.metadata.listBulkDeletes({ limit: listedMax });
    for (const { id, state } of records) {
      if (state === "running" || state === "undoing") this.#run(id);
    }
  }

  /** Here or elsewhere; a word that is lost costs the time until the next look. */
  #begin(id: string): void {
    this.#run(id);
    this.#options.siblings.tell(topic, id);
  }

  #run(id: string): void {
    const signal = this.#leading;
    if (signal === undefined || signal.aborted || this.#running.has(id)) return;
    const running = this.#pages(id, signal)
      .catch((error: unknown) => {
        this.#options.log.error({ err: error, bulkDelete: id }, "a bulk delete came to a halt");
      })
      .finally(() => this.#running.delete(id));
    this.#running.set(id, running);
  }

  async #pages(id: string, signal: AbortSignal): Promise<void> {
    const { metadata, clock, blobGraceMs, perHour, perSecond, trashMsDefault, log } = this.#options;
    const limit = Math.min(pageLimit, perSecond);
    while (!signal.aborted) {
      const startedAt = clock.monotonicMs();
      const now = clock.now();
      const garbageDueAt = new Date(now.getTime() + blobGraceMs);
      const author = serverAuthor(`bulk delete ${id}`);
      const step = { now, author, garbageDueAt, limit, perHour, trashMsDefault };
      const progress = await metadata.advanceBulkDelete(id, step);
      if (progress === undefined) return;
      const { state, deleted, restored, bucket } = progress.record;
      if (state !== "running" && state !== "undoing") {
        log.warn({ bulkDelete: id, bucket, state, deleted, restored }, "a bulk delete has ended");
        return;
      }
      const { cappedMs = 60_000 } = this.#options;
      const dueMs = progress.isCapped ? cappedMs : (progress.changed / perSecond) * 1000;
      await rest(dueMs - (clock.monotonicMs() - startedAt), signal);
    }
  }

  /** What is there now, of objects that are no younger than the plan. */
  async #count(planned: {
    readonly bucket: string;
    readonly prefix: string;
    readonly plannedAt: string;
  }): Promise<Counted> {
    const { bucket, prefix, plannedAt } = planned;
    const hash = createHash("sha256");
    const samples = new Samples();
    let bytes = 0;
    let after: string | undefined;
    do {
      const position = after === undefined ? {} : { after };
      const query = { bucket, prefix, delimiter: "", limit: readLimit, ...position };
      const page = await this.#options.metadata.listObjects(query);
      for (const { key, version, length, createdAt } of page.objects) {
        if (createdAt > new Date(plannedAt)) continue;
        hash.update(`${JSON.stringify([key, version])}\n`);
        samples.add(key);
        bytes += length;
      }
      after = page.next;
    } while (after !== undefined);
    return { objects: samples.count, bytes, digest: hash.digest("hex"), samples: samples.keys() };
  }

  #assertTyped(record: BulkDeleteRecord, given: Confirmation, ofBucket: string | null): void {
    if (given.bucket !== record.bucket) throw wrong("bucket", "is not the plan's");
    const environment = ofBucket ?? this.#options.environment.label ?? null;
    if (given.environment !== environment) {
      const ours = environment === null ? "has none" : `is of ${environment}`;
      throw new OperationalError(
        "environment_mismatch",
        `environment is not the bucket's, which ${ours}`,
      );
    }
    if (given.digest !== record.digest) throw wrong("digest", "is not the plan's");
  }

  async #find(actor: Actor, id: string): Promise<BulkDeleteRecord> {
    const record = await this.#options.metadata.getBulkDelete(id);
    // Who may nothing learns nothing, neither which ids there are.
    assertMay(actor, record?.bucket);
    if (record !== undefined) return record;
    throw new OperationalError("object_not_found", "there is no such bulk delete");
  }

  /** Again, when a page was faster. */
  async #change(
    actor: Actor,
    id: string,
    change: (record: BulkDeleteRecord) => BulkDeleteRecord,
  ): Promise<BulkDeleteRecord> {
    for (;;) {
      const record = await this.#find(actor, id);
      const next = change(record);
      if (next === record) return record;
      try {
        return await this.#put(actor, next);
      } catch (error) {
        if (!(error instanceof OperationalError) || error.code !== "precondition_failed")
          throw error;
      }
    }
  }

  async #put(actor: Actor, record: BulkDeleteRecord): Promise<BulkDeleteRecord> {
    const next = { ...record, revision: record.revision + 1 };
    await this.#options.metadata.putBulkDelete(next, { author: authorOf(actor) });
    return next;
  }
}

async function rest(ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const end = (): void => resolve();
  const timer = setTimeout(end, Math.max(0, ms));
  signal.addEventListener("abort", end);
  await promise;
  signal.removeEventListener("abort", end);
  clearTimeout(timer);
}

/** The first keys, the last, and some between, of a list whose length is not known. */
class Samples {
  count = 0;
  #kept: string[] = [];
  #every = 1;
  #last = "";

  add(key: string): void {
    if (this.count % this.#every === 0) this.#kept.push(key);
    this.count += 1;
    this.#last = key;
    if (this.#kept.length < samplesMax * 2) return;
    this.#kept = this.#kept.filter((_key, index) => index % 2 === 0);
    this.#every *= 2;
  }

  keys(): readonly string[] {
    const all = this.#kept.at(-1) === this.#last ? this.#kept : [...this.#kept, this.#last];
    return this.count === 0 ? [] : all;
  }
}

/** What somebody meant to be the value of a variable, or everything. */
const suspicious =
  /^(?:\s*|\*+|\/+|\.+|undefined|null|none|nil|nan|\$\{?\w+\}?|%\w+%|\{\{?.*\}?\})\/*$/i;

function assertMeansSomething(prefix: string): void {
  if (!suspicious.test(prefix)) return;
  const said = prefix === "" ? "is empty" : `is ${JSON.stringify(prefix)}`;
  const why = "that means everything, or a variable that was not set";
  throw wrong("prefix", `${said}: ${why}. Name the keys that are to go`);
}

function mayBulkDelete(actor: Actor, bucket: string): boolean {
  try {
    assertMay(actor, bucket);
    return true;
  } catch (error) {
    if (error instanceof OperationalError) return false;
    throw error;
  }
}

/** The key's id. A grant never may. */
function assertMay(actor: Actor, bucket: string | undefined): string {
  authorize(actor, "bulk:delete", bucket === undefined ? {} : { bucket });
  if (actor.kind === "key") return authorOf(actor).id ?? "";
  throw new OperationalError("access_denied", "a bulk delete needs an access key");
}

function planChanged(record: BulkDeleteRecord, found: Counted): OperationalError {
  const message = `other objects are there than were planned: ${found.objects} now, ${record.objects} then; plan it again`;
  return new OperationalError("plan_changed", message, {
    context: { planned: record.objects, found: found.objects },
  });
}

function inState({ state }: BulkDeleteRecord, what: string): OperationalError {
  const message = `a bulk delete that is ${state} has nothing to ${what}`;
  return new OperationalError("precondition_failed", message, { context: { state } });
}

function wrong(field: string, what: string): OperationalError {
  return new OperationalError("invalid_request", `${field} ${what}`, { context: { field } });
}

function newId(now: Date): string {
  return `${now.getTime().toString(36).padStart(9, "0")}-${randomBytes(6).toString("hex")}`;
}
